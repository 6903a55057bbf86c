package webhook

import (
	"cmp"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net/netip"
	"net/url"
	"strconv"
	"time"

	"github.com/activemessage/activemessage/engine"
)

// The defaults of Config.
const (
	DefaultMaxBody         = 1 << 20
	DefaultLease           = 5 * time.Minute
	DefaultBreakerFailures = 5
	DefaultBreakerDelay    = 30 * time.Second
)

// Config is one endpoint. URL and Secrets are needed, the rest has defaults.
type Config struct {
	// URL is where messages are POSTed: absolute, http or https, without user and
	// fragment. Its path and query may hold tokens: neither is logged.
	URL string
	// Secrets sign requests, by Standard Webhooks 1.0: "whsec_" and 24 to 64 random
	// bytes in base64 for HMAC-SHA256 (v1), "whsk_" and a private key of 32 or 64 bytes
	// for ed25519 (v1a). At least one; while they are rotated several, whose signatures
	// are sent in this order. Space around them is ignored.
	Secrets []string
	// Allow has the addresses that may be connected to though they are not public:
	// internal receivers. One that has an IPv4 address written as IPv6 (::ffff:10.0.0.0/104)
	// means the IPv4 addresses. Whoever allows 64:ff9b::/96, for a network with IPv6 and
	// NAT64 only, allows every IPv4 address that the gateway lets through.
	Allow []netip.Prefix
	// Callback is this server's own base URL, as the receiver reaches it. Empty means
	// that requests have no Activemessage-Callback; who knows the URL can settle all
	// the same.
	Callback string
	// Lease is how long a receiver that answered 202 has before the attempt is lost;
	// every beat of it begins another. 0 means DefaultLease.
	Lease time.Duration
	// MaxBody is the largest result in bytes. 0 means DefaultMaxBody, which is the
	// engine's own.
	MaxBody int64
	// HeaderTimeout is how long the receiver may take until its answer begins. 0 means
	// as long as the type's policy gives the attempt.
	HeaderTimeout time.Duration
	// BreakerFailures is after how many failures in a row, of the network or a 5xx,
	// the endpoint is left alone. 0 means DefaultBreakerFailures; negative means never.
	BreakerFailures int
	// BreakerDelay is for how long it is left alone before it is tried again. 0 means
	// DefaultBreakerDelay.
	BreakerDelay time.Duration
	// OnGone is called with the message's type, from the handler's goroutine, for each
	// message that is answered 410: the receiver wants no more. It is for pausing the
	// type. nil means that the log has to do.
	OnGone func(messageType string)
	// RootCAs verify the receiver's certificate. nil means the system's.
	RootCAs *x509.CertPool
	// Logger is told when the circuit breaker opens and closes. Defaults to discarding it.
	Logger *slog.Logger
}

func (c Config) withDefaults() Config {
	c.Lease = cmp.Or(c.Lease, DefaultLease)
	c.MaxBody = cmp.Or(c.MaxBody, DefaultMaxBody)
	c.BreakerFailures = cmp.Or(c.BreakerFailures, DefaultBreakerFailures)
	c.BreakerDelay = cmp.Or(c.BreakerDelay, DefaultBreakerDelay)
	c.Logger = cmp.Or(c.Logger, slog.New(slog.DiscardHandler))
	return c
}

func (c Config) validate() error {
	for _, bound := range []struct {
		field string
		value int64
	}{
		{"lease", int64(c.Lease)},
		{"max_body", c.MaxBody},
		{"header_timeout", int64(c.HeaderTimeout)},
		{"breaker_delay", int64(c.BreakerDelay)},
	} {
		if bound.value < 0 {
			return &engine.InvalidError{Field: bound.field, Reason: "must not be negative"}
		}
	}
	return nil
}

// parseURL refuses what cannot be POSTed to, in words that hold nothing of a URL's
// user, path and query.
func parseURL(field, text string) (*url.URL, error) {
	invalid := func(reason string) error { return &engine.InvalidError{Field: field, Reason: reason} }
	if text == "" {
		return nil, invalid("is missing")
	}
	u, err := url.Parse(text)
	if err != nil {
		return nil, invalid("is not a URL: look at its host, its port and its percent signs") // err has the URL in it
	}
	port, err := strconv.ParseUint(cmp.Or(u.Port(), "1"), 10, 16)
	switch {
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, invalid("must begin with http:// or https://")
	case u.Hostname() == "":
		return nil, invalid("has no host")
	case err != nil || port == 0:
		return nil, invalid(fmt.Sprintf("the port %s is not from 1 to 65535", u.Port()))
	case u.User != nil:
		return nil, invalid("must not hold a user or a password: they would not be sent")
	case u.Fragment != "":
		return nil, invalid("must not have a fragment (#…): it would not be sent")
	}
	return u, nil
}

// callbackBase is what a message's id completes to its callback, or empty.
func (c Config) callbackBase() (string, error) {
	if c.Callback == "" {
		return "", nil
	}
	u, err := parseURL("callback", c.Callback)
	if err != nil {
		return "", err
	}
	if u.RawQuery != "" || u.ForceQuery {
		return "", &engine.InvalidError{Field: "callback", Reason: "must not have a query (?…)"}
	}
	return u.JoinPath("/v1/work/").String(), nil
}
