package webhook

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/activemessage/activemessage/engine"
)

// TestGuard has an address of every range that must be refused (RFC 6890's registries,
// as of IANA today), its edges, and what lies beside it.
func TestGuard(t *testing.T) {
	t.Parallel()
	g, err := newGuard(nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, addresses := range map[string]string{
		"this network":    "0.0.0.0 0.255.255.255",
		"private":         "10.0.0.0 10.255.255.255 172.16.0.0 172.31.255.255 192.168.0.0 192.168.255.255",
		"CGNAT":           "100.64.0.0 100.127.255.255",
		"loopback":        "127.0.0.1 127.255.255.255 ::1",
		"link-local":      "169.254.0.0 169.254.169.254 169.254.255.255 fe80::1 febf::1 fe80::1%eth0",
		"protocols":       "192.0.0.1 192.0.0.170 192.0.0.255 2001:1ff:ffff::1",
		"documentation":   "192.0.2.1 198.51.100.1 203.0.113.1 2001:db8::1 3fff::1 3fff:fff::1",
		"benchmarking":    "198.18.0.0 198.19.255.255 2001:2::1",
		"6to4 relays":     "192.88.99.1",
		"multicast":       "224.0.0.1 239.255.255.255 ff02::1 ff0e::1",
		"reserved":        "240.0.0.1 255.255.255.254 255.255.255.255 4000::1 5f00::1 fec0::1",
		"unspecified":     "0.0.0.0 ::",
		"unique local":    "fc00::1 fd00:ec2::254 fdff::1",
		"discard":         "100::1",
		"IPv4 mapped":     "::ffff:127.0.0.1 ::ffff:10.0.0.1 ::ffff:169.254.169.254",
		"IPv4 compatible": "::127.0.0.1 ::10.0.0.1 ::8.8.8.8",
		"IPv4 translated": "::ffff:0:127.0.0.1 ::ffff:0:8.8.8.8",
		"NAT64":           "64:ff9b::7f00:1 64:ff9b::a9fe:a9fe 64:ff9b::808:808 64:ff9b:1::7f00:1 64:ff9b:1:ffff:ffff:ffff:808:808",
		"6to4":            "2002:7f00:1::1 2002:a9fe:a9fe::1 2002:808:808::1",
		"Teredo":          "2001::1 2001:0:7f00:1::1 2001:0:ffff:ffff:ffff:ffff:80ff:fffe",
		"ORCHID":          "2001:10::1 2001:20::1",
	} {
		for address := range strings.FieldsSeq(addresses) {
			if err := g.check(netip.MustParseAddr(address), address); err == nil {
				t.Errorf("%s: %s may be connected to", name, address)
			}
		}
	}
	for address := range strings.FieldsSeq("1.0.0.0 8.8.8.8 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 126.255.255.255 128.0.0.0 " +
		"169.253.255.255 172.15.255.255 172.32.0.0 192.167.255.255 192.169.0.0 198.17.255.255 198.20.0.0 223.255.255.255 " +
		"::ffff:8.8.8.8 2001:200::1 2001:4860:4860::8888 2606:4700::1111 2a00:1450::1") {
		if err := g.check(netip.MustParseAddr(address), address); err != nil {
			t.Error(err)
		}
	}
}

func TestAllow(t *testing.T) {
	t.Parallel()
	var allow []netip.Prefix
	for _, prefix := range []string{"10.1.0.0/16", "::ffff:10.2.0.0/112", "fd00:1::/32", "fe80::/10", "127.0.0.1/32"} {
		allow = append(allow, netip.MustParsePrefix(prefix))
	}
	g, err := newGuard(allow)
	if err != nil {
		t.Fatal(err)
	}
	for address := range strings.FieldsSeq("10.1.2.3 10.2.0.1 ::ffff:10.1.0.1 fd00:1::5 fe80::1%eth0 127.0.0.1 8.8.8.8") {
		if err := g.check(netip.MustParseAddr(address), address); err != nil {
			t.Error(err)
		}
	}
	for address := range strings.FieldsSeq("10.0.0.1 10.3.0.1 fd00:2::5 127.0.0.2 169.254.169.254 ::1 ::10.1.0.1 64:ff9b::a01:1 2002:a01:1::") {
		if err := g.check(netip.MustParseAddr(address), address); err == nil {
			t.Errorf("%s may be connected to", address)
		}
	}
	for _, bad := range []netip.Prefix{{}, netip.PrefixFrom(netip.MustParseAddr("::ffff:0.0.0.0"), 95), netip.PrefixFrom(netip.MustParseAddr("10.0.0.0"), 33)} {
		if _, err := newGuard([]netip.Prefix{loopback()[0], bad}); !errors.Is(err, engine.ErrInvalid) || !strings.Contains(err.Error(), "allow/1") {
			t.Errorf("%v: %v", bad, err)
		}
	}
}

// TestRefusedConnection wants the operator told of the address and the setting, and
// clients of neither.
func TestRefusedConnection(t *testing.T) {
	t.Parallel()
	var calls atomic.Int32
	url := serve(t, func(http.ResponseWriter, *http.Request) { calls.Add(1) })
	h := start(t, Config{URL: strings.Replace(url, "127.0.0.1", "localhost", 1), Allow: []netip.Prefix{}, BreakerFailures: 1})
	status := outcome(t, h, engine.Policy{MaxAttempts: 5})
	if status.State != engine.StateFailed || status.Attempt != 1 {
		t.Errorf("not for good: %s after %d attempts", status.State, status.Attempt)
	}
	if got := *status.Error; got != (engine.Error{Code: CodeFailed, Message: "the endpoint is not reachable"}) {
		t.Errorf("clients read %+v", got)
	}
	_, err := h.Handle(t.Context(), message("x"))
	cause := failureOf(t, err).Cause.Error()
	for _, word := range []string{"http://localhost:", "is refused", "allow", url[len("http://127.0.0.1"):]} {
		if !strings.Contains(cause, word) {
			t.Errorf("%q is not in the operator's words: %s", word, cause)
		}
	}
	if calls.Load() != 0 {
		t.Error("the receiver was called")
	}
	if h.Breaker() != "closed" {
		t.Error("a setting of ours opens the breaker")
	}
}

// TestOddLoopback writes this machine's address in ways that a check of the text would
// miss. Some are no address to this resolver: all that counts is that nobody is called.
func TestOddLoopback(t *testing.T) {
	t.Parallel()
	var calls atomic.Int32
	url := serve(t, func(http.ResponseWriter, *http.Request) { calls.Add(1) })
	port := url[strings.LastIndexByte(url, ':'):]
	for _, host := range []string{
		"127.0.0.1", "localhost", "LOCALHOST", "localhost.", "127.0.0.1.", "0.0.0.0", "0", "127.1", "127.0.1", "2130706433", "0x7f000001",
		"0x7f.1", "0177.0.0.1", "017700000001", "127.0.0.01", "127.1.1.1", "１２７.０.０.１", "127。0。0。1", "[::1]", "[::]", "[::ffff:127.0.0.1]",
		"[::ffff:7f00:1]", "[0:0:0:0:0:ffff:7f00:0001]", "[::127.0.0.1]", "[::ffff:0:127.0.0.1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "[::1%25lo]",
	} {
		h, err := New(Config{URL: "http://" + host + port, Secrets: []string{secret}})
		if err != nil { // refused before it is called
			if !errors.Is(err, engine.ErrInvalid) || !strings.Contains(err.Error(), "url: ") {
				t.Errorf("%s: %v", host, err)
			}
			continue
		}
		if _, err := h.Handle(t.Context(), message("x")); err == nil {
			t.Errorf("%s is called", host)
		}
		h.Close()
	}
	if calls.Load() != 0 {
		t.Errorf("%d calls", calls.Load())
	}
}

// TestRebinding has a name whose address changes between two messages: from one that is
// allowed, which stands for a public one, to one that is not.
func TestRebinding(t *testing.T) {
	t.Parallel()
	var calls, internal atomic.Int32
	outer := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		calls.Add(1)
		w.Header().Set("Connection", "close") // the next message connects again
	}))
	outer.Start()
	t.Cleanup(outer.Close)
	_, port, err := net.SplitHostPort(outer.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.2:"+port)
	if err != nil {
		t.Skip("this machine has no 127.0.0.2: ", err)
	}
	inner := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { internal.Add(1) }))
	_ = inner.Listener.Close()
	inner.Listener = listener
	inner.Start()
	t.Cleanup(inner.Close)

	g, err := newGuard(loopback())
	if err != nil {
		t.Fatal(err)
	}
	names := &dns{t: t}
	g.dialer.Resolver = &net.Resolver{PreferGo: true, Dial: names.dial}
	h, err := newHandler(Config{URL: "http://rebind.example:" + port, Secrets: []string{secret}}, g)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.Close)
	for _, c := range []struct {
		address [4]byte
		called  bool
	}{{[4]byte{127, 0, 0, 1}, true}, {[4]byte{127, 0, 0, 2}, false}, {[4]byte{127, 0, 0, 1}, true}} {
		names.address.Store(&c.address)
		before := calls.Load()
		_, err := h.Handle(t.Context(), message("x"))
		if called := calls.Load() > before; called != c.called || (err == nil) != c.called {
			t.Errorf("%v: called %t, %v", c.address, called, err)
		}
	}
	if internal.Load() != 0 {
		t.Error("the internal address was called")
	}
}

// TestRedirectInside has a receiver that sends the server to the metadata of its cloud.
func TestRedirectInside(t *testing.T) {
	t.Parallel()
	var calls atomic.Int32
	target := serve(t, func(http.ResponseWriter, *http.Request) { calls.Add(1) })
	for _, location := range []string{target, "http://169.254.169.254/latest/meta-data/", "file:///etc/passwd", "/elsewhere"} {
		url := serve(t, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/elsewhere" {
				calls.Add(1)
			}
			w.Header().Set("Location", location)
			w.WriteHeader(http.StatusTemporaryRedirect)
		})
		_, err := start(t, Config{URL: url}).Handle(t.Context(), message("x"))
		if want := "the endpoint answered 307 Temporary Redirect: redirects are not followed"; failureOf(t, err).Message != want {
			t.Error(err)
		}
	}
	if calls.Load() != 0 {
		t.Error("a redirect was followed")
	}
}

// TestSomeAddressDown has a host with an address that is refused and one that is right,
// and down: that passes, so the message is not given up.
func TestSomeAddressDown(t *testing.T) {
	t.Parallel()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	_ = listener.Close()
	g, err := newGuard(loopback())
	if err != nil {
		t.Fatal(err)
	}
	for _, order := range [][2][4]byte{{{127, 0, 0, 2}, {127, 0, 0, 1}}, {{127, 0, 0, 1}, {127, 0, 0, 2}}} {
		names := &dns{t: t, more: order[1:]}
		names.address.Store(&order[0])
		g.dialer.Resolver = &net.Resolver{PreferGo: true, Dial: names.dial}
		_, err = g.dial(t.Context(), "tcp", net.JoinHostPort("two.example", port))
		if _, refused := errors.AsType[*refusedError](err); err == nil || refused {
			t.Error(err)
		}
	}
}

// TestNoProxy has a proxy in the environment that must not be asked.
func TestNoProxy(t *testing.T) {
	var calls atomic.Int32
	proxy := serve(t, func(http.ResponseWriter, *http.Request) { calls.Add(1) })
	for _, name := range []string{"HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY"} {
		t.Setenv(name, proxy)
	}
	h := start(t, Config{URL: "http://nowhere.invalid"})
	if h.transport.Proxy != nil {
		t.Error("there is a proxy")
	}
	if _, err := h.Handle(t.Context(), message("x")); err == nil || calls.Load() != 0 {
		t.Errorf("%v, %d calls", err, calls.Load())
	}
}

// dns answers every question for an IPv4 address with address and more.
type dns struct {
	t       *testing.T
	address atomic.Pointer[[4]byte]
	more    [][4]byte
}

// dial returns a connection to a server of one question.
func (d *dns) dial(context.Context, string, string) (net.Conn, error) {
	client, server := net.Pipe()
	d.t.Cleanup(func() { _ = client.Close() })
	go func() { // ends with the connection, which the resolver closes
		defer func() { _ = server.Close() }()
		question := make([]byte, 514)
		n, err := server.Read(question)
		for err == nil && (n < 2 || n-2 < int(question[0])<<8|int(question[1])) {
			var more int
			more, err = server.Read(question[n:])
			n += more
		}
		if err == nil {
			_, _ = server.Write(d.answer(question[2:n]))
		}
	}()
	return client, nil
}

func (d *dns) answer(question []byte) []byte {
	var m dnsmessage.Message
	if err := m.Unpack(question); err != nil {
		d.t.Error(err)
		return nil
	}
	m.Response, m.Additionals = true, nil
	if q := m.Questions[0]; q.Type == dnsmessage.TypeA {
		for _, address := range append([][4]byte{*d.address.Load()}, d.more...) {
			m.Answers = append(m.Answers, dnsmessage.Resource{
				Header: dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class},
				Body:   &dnsmessage.AResource{A: address},
			})
		}
	}
	packed, err := m.Pack()
	if err != nil {
		d.t.Error(err)
	}
	return append([]byte{byte(len(packed) >> 8), byte(len(packed))}, packed...)
}
