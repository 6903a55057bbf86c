package worker

import (
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// maxWindow bounds Config.Window: a beat lists all that the worker holds.
const maxWindow = 10_000

// Config says what a worker does, and for which server.
type Config struct {
	// URL is the server's: "http://127.0.0.1:8080", or with https, ws or wss. The path
	// /v1/work is added unless it ends with that.
	URL string
	// Handlers maps message types to what does their jobs. At least one.
	Handlers map[string]Handler
	// Policies is for types in Handlers that the server did not know before; the others
	// have the server's defaults. It may be nil.
	Policies map[string]Policy
	// Window is how many jobs run at once, 1 to 10,000. Defaults to 16.
	Window int
	// DrainTimeout is for what runs when the context of Run ends: how long it may go on
	// until its own context ends. Defaults to 30 s; negative means not at all.
	DrainTimeout time.Duration
	// Header is sent when connecting, such as Authorization. It may be nil.
	Header http.Header
	// TLS is for https and wss. Nil is Go's default.
	TLS *tls.Config
	// DialContext makes the connections. Defaults to that of net.Dialer. With proxies
	// from the environment (see net/http.ProxyFromEnvironment), it dials the proxy.
	DialContext func(ctx context.Context, network, address string) (net.Conn, error)
	// Logger receives refusals, crashes and errors of handlers, and at debug level
	// connections. Defaults to slog.Default.
	Logger *slog.Logger
}

func (c Config) withDefaults() Config {
	c.Window = cmp.Or(c.Window, 16)
	c.DrainTimeout = max(cmp.Or(c.DrainTimeout, 30*time.Second), 0)
	c.Logger = cmp.Or(c.Logger, slog.Default())
	if c.DialContext == nil {
		c.DialContext = (&net.Dialer{KeepAlive: 30 * time.Second}).DialContext
	}
	return c
}

func (c Config) validate() error {
	if c.Window < 0 || c.Window > maxWindow {
		return &InvalidError{"Window", fmt.Sprintf("%d is not from 1 to %d", c.Window, maxWindow)}
	}
	if len(c.Handlers) == 0 {
		return &InvalidError{"Handlers", "has none: name a message type and what does it"}
	}
	for messageType, h := range c.Handlers {
		if messageType == "" || h == nil {
			return &InvalidError{"Handlers", fmt.Sprintf("%q: needs a message type and a handler", messageType)}
		}
	}
	for messageType := range c.Policies {
		if c.Handlers[messageType] == nil {
			return &InvalidError{"Policies", fmt.Sprintf("%q has no handler", messageType)}
		}
	}
	return nil
}

// address returns where to connect.
func (c Config) address() (string, error) {
	u, err := url.Parse(c.URL)
	if err != nil {
		return "", &InvalidError{"URL", err.Error()}
	}
	if !slices.Contains([]string{"http", "https", "ws", "wss"}, u.Scheme) || u.Host == "" {
		return "", &InvalidError{"URL", fmt.Sprintf("%q: use one such as http://127.0.0.1:8080", c.URL)}
	}
	if !strings.HasSuffix(u.Path, workPath) {
		u = u.JoinPath(workPath)
	}
	return u.String(), nil
}
