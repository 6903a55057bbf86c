package webhook

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync/atomic"
	"syscall"
	"time"

	"code.dny.dev/ssrf"

	"github.com/activemessage/activemessage/engine"
)

// connectTimeout bounds DNS and connecting together, and the TLS handshake after it.
const connectTimeout = 10 * time.Second

// guard connects to public addresses, and to those that the operator allows.
//
// Its table is ssrf's, made of IANA's special-purpose registries (RFC 6890). Of IPv6
// only 2000::/3 is public there, so that all that can hold an IPv4 address is refused
// outright, without a look at which: ::/96, ::ffff:0:0/96, 64:ff9b::/96, 64:ff9b:1::/48,
// 2001::/32 and 2002::/16.
type guard struct {
	table  *ssrf.Guardian
	dialer net.Dialer // without Control
}

func newGuard(allow []netip.Prefix) (*guard, error) {
	var v4, v6 []netip.Prefix
	for i, prefix := range allow {
		addr, bits := prefix.Addr(), prefix.Bits()
		if addr.Is4In6() {
			addr, bits = addr.Unmap(), bits-96
		}
		prefix = netip.PrefixFrom(addr, bits)
		switch {
		case !prefix.IsValid():
			return nil, &engine.InvalidError{Field: fmt.Sprintf("allow/%d", i), Reason: "is not an address with a length, such as 10.0.0.0/8"}
		case addr.Is4():
			v4 = append(v4, prefix)
		default:
			v6 = append(v6, prefix)
		}
	}
	return &guard{
		table:  ssrf.New(ssrf.WithAnyPort(), ssrf.WithAllowedV4Prefixes(v4...), ssrf.WithAllowedV6Prefixes(v6...)),
		dialer: net.Dialer{Timeout: connectTimeout},
	}, nil
}

// refusedError is an address that the guard does not connect to. Its text is for
// operators.
type refusedError struct {
	address string
	reason  error
}

// Error names the address, and the setting that allows it.
func (e *refusedError) Error() string {
	return fmt.Sprintf("connecting to %s is refused: %v; if the receiver is internal, add its address to the webhook's allow", e.address, e.reason)
}

// check refuses an address. One with a zone is looked at without it, and an IPv4
// address written as IPv6 is one: so does Go connect.
func (g *guard) check(addr netip.Addr, address string) error {
	if err := g.table.SafeAddr(addr.WithZone("").Unmap()); err != nil {
		return &refusedError{address: address, reason: err}
	}
	return nil
}

// dial connects to the first of the host's addresses that lets it. Each is checked when
// its socket is about to connect: what DNS said before, or says next, does not matter.
func (g *guard) dial(ctx context.Context, network, address string) (net.Conn, error) {
	dialer := g.dialer
	var tried atomic.Bool // addresses are tried side by side
	dialer.Control = func(_, address string, _ syscall.RawConn) error {
		to, err := netip.ParseAddrPort(address)
		if err != nil {
			return err
		}
		if err := g.check(to.Addr(), address); err != nil {
			return err
		}
		tried.Store(true)
		return nil
	}
	conn, err := dialer.DialContext(ctx, network, address)
	if err == nil {
		return conn, nil
	}
	if _, refused := errors.AsType[*refusedError](err); refused && tried.Load() {
		// One of the other addresses is right, and down: that passes.
		return nil, fmt.Errorf("an address of the host did not answer, and %s", err.Error())
	}
	return nil, err
}
