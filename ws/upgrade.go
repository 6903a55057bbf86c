package ws

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/coder/websocket"

	"github.com/activemessage/activemessage/engine"
	"github.com/activemessage/activemessage/internal/wire"
)

// ServeHTTP upgrades a request and returns; the connection lives on. What cannot
// be upgraded is answered with a problem document.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if err := s.upgrade(w, r); err != nil {
		writeRefusal(w, err)
	}
}

func writeRefusal(w http.ResponseWriter, err error) {
	problem := wire.ProblemFor(err)
	if problem.Status == http.StatusUpgradeRequired {
		w.Header().Set("Connection", "Upgrade")
		w.Header().Set("Upgrade", "websocket")
	}
	problem.Write(w)
}

func (s *Server) upgrade(w http.ResponseWriter, r *http.Request) error {
	// The query first: who asks by curl why a browser's WebSocket fails shall see.
	query, err := wire.ParseQuery(r.URL)
	if err != nil {
		return err
	}
	selectors, since, err := wire.ReadSelectors(query)
	if err != nil {
		return err
	}
	protocol, err := chooseProtocol(r)
	if err != nil {
		return err
	}
	if len(selectors) == 0 && protocol == ProtocolJSON && query.Has("since") {
		return wire.BadParameter("since", "means nothing without a selector: add subscribe=…, or give each subscribe frame its since")
	}
	c := newConnection(s, protocol)
	// Who cannot send a frame to subscribe wants everything, or says what here.
	if len(selectors) > 0 || protocol != ProtocolJSON {
		sub, err := wire.SubscribeAll(s.engine, selectors, since)
		if err != nil {
			return err
		}
		c.follow(sub)
	}
	if err := s.admit(c); err != nil {
		c.release()
		return err
	}
	conn, hijack := accept(w, r, &s.cfg, protocol)
	if conn == nil {
		s.remove(c)
		c.release()
		s.goroutines.Done()
		return hijack.refusal
	}
	c.start(conn, hijack.socket, hijack.reader)
	go c.read() // counted since admit
	return nil
}

// accept upgrades a request; the connection is nil if that is refused.
func accept(w http.ResponseWriter, r *http.Request, cfg *Config, protocol string) (*websocket.Conn, *hijacker) {
	hijack := &hijacker{ResponseWriter: w, timeout: cfg.WriteTimeout}
	conn, err := websocket.Accept(hijack, r, &websocket.AcceptOptions{
		Subprotocols:    []string{protocol},
		OriginPatterns:  cfg.AllowOrigins,
		CompressionMode: websocket.CompressionDisabled,
	})
	if err != nil {
		return nil, hijack
	}
	conn.SetReadLimit(cfg.ReadLimit)
	return conn, hijack
}

// chooseProtocol picks the first subprotocol the client offers that is spoken
// here; a client that offers none gets JSON.
func chooseProtocol(r *http.Request) (string, error) {
	if !headerHas(r.Header, "Upgrade", "websocket") {
		return "", wire.NewProblem("upgrade_required",
			"this is a WebSocket: connect with new WebSocket(url) or websocat, such as ws://"+r.Host+"/v1/ws?subscribe=request_*")
	}
	offered := r.Header.Values("Sec-WebSocket-Protocol")
	if len(offered) == 0 {
		return ProtocolJSON, nil
	}
	for _, protocol := range []string{ProtocolJSON, ProtocolText, ProtocolCloudEvents} {
		if headerHas(r.Header, "Sec-WebSocket-Protocol", protocol) {
			return protocol, nil
		}
	}
	return "", wire.NewProblem("malformed_request", fmt.Sprintf(
		"none of the subprotocols %.100q is spoken here: use %s, %s or %s", strings.Join(offered, ", "), ProtocolJSON, ProtocolText, ProtocolCloudEvents))
}

func headerHas(h http.Header, name, token string) bool {
	for _, line := range h.Values(name) {
		for value := range strings.SplitSeq(line, ",") {
			if strings.EqualFold(strings.TrimSpace(value), token) {
				return true
			}
		}
	}
	return false
}

// admit counts a connection in, or refuses it.
func (s *Server) admit(c *connection) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.draining:
		return wire.ProblemFor(engine.ErrDraining)
	case len(s.connections) >= s.cfg.MaxConnections:
		p := wire.NewProblem("server_full", fmt.Sprintf("%d connections are open, more are not allowed: try again later", len(s.connections)))
		p.RetryAfter = s.cfg.PingInterval
		return p
	}
	s.connections[c] = struct{}{}
	s.goroutines.Add(1) // read's, from here on so that Shutdown awaits an upgrade that is under way
	return nil
}

func (s *Server) remove(c *connection) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.connections, c)
}

// connectionBuffer is what is left of net/http's 4 KiB buffers on a connection:
// frames from clients are small, and ours are not written through it.
const connectionBuffer = 512

// hijacker takes the connection out of net/http with our own wrapping, and turns
// the library's refusals into problems.
type hijacker struct {
	http.ResponseWriter
	socket  *socket
	reader  *bufio.Reader
	refusal *wire.Problem
	timeout time.Duration
}

// WriteHeader lets the upgrade pass and keeps a refusal.
func (h *hijacker) WriteHeader(status int) {
	switch status {
	case http.StatusSwitchingProtocols:
		h.ResponseWriter.WriteHeader(status)
	case http.StatusForbidden:
		h.refusal = wire.NewProblem("cross_origin", "pages of this origin may not connect: start the server with --allow-origin for it")
	case http.StatusUpgradeRequired:
		h.refusal = wire.NewProblem("upgrade_required", "")
	case http.StatusBadRequest:
		h.refusal = wire.NewProblem("malformed_request", "")
	default:
		h.refusal = wire.NewProblem("internal_error", "the connection cannot be upgraded")
	}
}

// Write takes the words of a refusal.
func (h *hijacker) Write(text []byte) (int, error) {
	if h.refusal != nil && h.refusal.Detail == "" {
		h.refusal.Detail = strings.TrimSpace(string(text))
	}
	return len(text), nil
}

// Hijack hands out the connection in its wrapping.
func (h *hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(h.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	if err := rw.Flush(); err != nil {
		_ = conn.Close()
		return nil, nil, err
	}
	early, _ := rw.Peek(rw.Reader.Buffered())
	h.socket = newSocket(conn, early, h.timeout)
	h.reader = bufio.NewReaderSize(h.socket, connectionBuffer)
	return h.socket, bufio.NewReadWriter(
		h.reader,
		bufio.NewWriterSize(h.socket, connectionBuffer)), nil
}
