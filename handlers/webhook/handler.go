package webhook

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"time"

	"github.com/activemessage/activemessage/engine"
)

// CodeFailed is the code of the failure of a message whose endpoint was not reached or
// answered that it failed.
const CodeFailed = "webhook_failed"

const userAgent = "activemessage-webhook/1.0"

// Connections are kept for the next message: as many as the engine runs handlers by
// default, and for less time than servers and balancers commonly keep theirs, so that
// one is seldom closed under a request.
const (
	maxIdle     = 64
	idleTimeout = 30 * time.Second
)

// maxHeaderBytes bounds what is read of an answer before its body.
const maxHeaderBytes = 64 << 10

// Handler is an engine.Handler that POSTs messages to one endpoint. It is made by New,
// and starts no goroutine of its own; those of net/http end with Close.
type Handler struct {
	cfg       Config
	url       *url.URL
	endpoint  string // the URL without what may be secret, for the log
	callback  string // what the message's id is appended to, or empty
	keys      []key
	transport *http.Transport
	breaker   *breaker
}

var _ engine.Handler = (*Handler)(nil)

// New returns a Handler. Its errors are engine.ErrInvalid, name the field as the
// configuration file does, and hold neither secrets nor the URL.
func New(cfg Config) (*Handler, error) {
	guard, err := newGuard(cfg.Allow)
	if err != nil {
		return nil, err
	}
	return newHandler(cfg, guard)
}

func newHandler(cfg Config, guard *guard) (*Handler, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	target, err := parseURL("url", cfg.URL)
	if err != nil {
		return nil, err
	}
	if addr, err := netip.ParseAddr(target.Hostname()); err == nil {
		// It would be refused at every attempt; better to say so now.
		if err := guard.check(addr, addr.String()); err != nil {
			return nil, &engine.InvalidError{Field: "url", Reason: err.Error()}
		}
	}
	callback, err := cfg.callbackBase()
	if err != nil {
		return nil, err
	}
	keys, err := parseSecrets(cfg.Secrets)
	if err != nil {
		return nil, err
	}
	endpoint := target.Scheme + "://" + target.Host
	return &Handler{
		cfg:       cfg,
		url:       target,
		endpoint:  endpoint,
		callback:  callback,
		keys:      keys,
		transport: newTransport(cfg, guard.dial),
		breaker:   newBreaker(cfg, endpoint),
	}, nil
}

// newTransport has no Proxy: a proxy in the environment would connect in the guard's
// place, to anything.
func newTransport(cfg Config, dial func(context.Context, string, string) (net.Conn, error)) *http.Transport {
	return &http.Transport{
		DialContext:            dial,
		TLSClientConfig:        &tls.Config{RootCAs: cfg.RootCAs, MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:    connectTimeout,
		ResponseHeaderTimeout:  cfg.HeaderTimeout,
		MaxResponseHeaderBytes: maxHeaderBytes,
		MaxIdleConns:           maxIdle,
		MaxIdleConnsPerHost:    maxIdle,
		IdleConnTimeout:        idleTimeout,
		ForceAttemptHTTP2:      true,
		// A dead connection of HTTP/2 takes all requests on it down: it is pinged.
		HTTP2: &http.HTTP2Config{SendPingTimeout: idleTimeout, PingTimeout: connectTimeout},
	}
}

// Close closes the connections that no attempt uses. It does not wait for attempts:
// drain the engine first.
func (h *Handler) Close() { h.transport.CloseIdleConnections() }

// Breaker is the state of the circuit breaker: "closed", "open" or "half-open".
func (h *Handler) Breaker() string { return h.breaker.state() }

// Handle POSTs the message, once. While the circuit breaker is open it calls nobody,
// and puts the message and its type off.
func (h *Handler) Handle(ctx context.Context, m *engine.Message) (engine.Result, error) {
	if wait := h.breaker.admit(); wait > 0 {
		return engine.Result{}, engine.Throttle(wait, nil) // spends no attempt
	}
	seen := unclear
	defer func() { h.breaker.record(seen) }() // also after a panic: a probe's place is given back
	// What is left of the exchange when Handle returns ends with it.
	began := time.Now()
	exchange, cancel := context.WithCancel(ctx)
	defer cancel()
	response, err := h.transport.RoundTrip(h.request(exchange, m))
	if err != nil {
		seen, err = h.unanswered(ctx, began, err)
		return engine.Result{}, err
	}
	defer func() { _ = response.Body.Close() }()
	a := &answer{Response: response, handler: h, cancel: cancel}
	if response.StatusCode/100 != 2 {
		seen = alive
		if response.StatusCode >= http.StatusInternalServerError {
			seen = broken
		}
		return engine.Result{}, a.failure(m)
	}
	result, err := a.result()
	if _, cut := errors.AsType[*cutError](err); cut {
		seen, err = h.unanswered(ctx, began, err)
		return engine.Result{}, err
	}
	seen = alive
	return result, err
}

// request is the message for the wire. No Idempotency-Key goes with it, which would let
// net/http send it once more on its own: an attempt is one call.
func (h *Handler) request(ctx context.Context, m *engine.Message) *http.Request {
	id := m.ID.String()
	timestamp := strconv.FormatInt(time.Now().Unix(), 10)
	attempt := strconv.Itoa(m.Attempt)
	header := http.Header{
		"User-Agent":            {userAgent},
		"Accept-Encoding":       {"identity"}, // what counts against MaxBody is what comes over the wire
		"Webhook-Id":            {id},
		"Webhook-Timestamp":     {timestamp},
		"Webhook-Signature":     {signature(h.keys, id, timestamp, m.MessageData)},
		"Activemessage-Type":    {m.MessageType},
		"Activemessage-Attempt": {attempt},
		"Activemessage-Lease":   {attempt}, // the number is the lease
	}
	if m.ContentType != "" {
		header.Set("Content-Type", m.ContentType)
	}
	if h.callback != "" {
		header.Set("Activemessage-Callback", h.callback+id)
	}
	if o := m.Origin; o != nil && o.Traceparent != "" {
		header.Set("Traceparent", o.Traceparent)
		if o.Tracestate != "" {
			header.Set("Tracestate", o.Tracestate)
		}
	}
	request := &http.Request{
		Method:        http.MethodPost,
		URL:           h.url,
		Header:        header,
		ContentLength: int64(len(m.MessageData)),
	}
	if len(m.MessageData) == 0 {
		request.Body = http.NoBody
		return request.WithContext(ctx)
	}
	request.Body = io.NopCloser(bytes.NewReader(m.MessageData))
	request.GetBody = func() (io.ReadCloser, error) { // for a connection that was closed before it was used
		return io.NopCloser(bytes.NewReader(m.MessageData)), nil
	}
	return request.WithContext(ctx)
}

// patience is after what time a timeout tells of the endpoint: a submitter may ask for a
// shorter one, and shall not close the endpoint to others.
const patience = 10 * time.Second

// unanswered is what an attempt comes to that got no answer, or not all of it.
func (h *Handler) unanswered(ctx context.Context, began time.Time, err error) (evidence, error) {
	if ctx.Err() != nil {
		cause := context.Cause(ctx)
		late := errors.Is(cause, engine.ErrTimeout) || errors.Is(cause, context.DeadlineExceeded)
		if late && time.Since(began) >= patience {
			return broken, cause
		}
		return unclear, cause
	}
	failure := &engine.Error{
		Code:    CodeFailed,
		Message: "the endpoint is not reachable",
		Cause:   fmt.Errorf("POST %s: %.1024w", h.endpoint, err), // it may hold what the endpoint sent
	}
	if _, cut := errors.AsType[*cutError](err); cut {
		failure.Message = "the endpoint's answer was cut off"
	}
	if _, refused := errors.AsType[*refusedError](err); refused {
		return unclear, engine.Permanent(failure)
	}
	return broken, failure
}

// Detaches implements engine.Detacher: a 202 leaves the message with the receiver.
func (h *Handler) Detaches() bool { return true }
