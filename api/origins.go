package api

import (
	"fmt"
	"net/http"
	"net/url"
	"path"
	"strings"
	"time"

	"github.com/rs/cors"

	"github.com/activemessage/activemessage/internal/wire"
)

// preflightAge is how long a browser need not ask again.
const preflightAge = 10 * time.Minute

// checkOrigins returns an error for a pattern that matches nothing.
func checkOrigins(patterns []string) error {
	for _, pattern := range patterns {
		_, host, withScheme := strings.Cut(pattern, "://")
		if !withScheme {
			host = pattern
		}
		if _, err := path.Match(pattern, ""); err != nil || host == "" || strings.Contains(host, "/") {
			return fmt.Errorf("allowed origin %q is not a host, an origin or a pattern of one: write app.example or https://*.example", pattern)
		}
	}
	return nil
}

// allowed reports whether pages of an origin may use the server: a pattern is for
// hosts, or for origins if it has a scheme, as it is for WebSockets.
func (s *server) allowed(origin string) bool {
	u, err := url.Parse(strings.ToLower(origin))
	if err != nil || u.Host == "" {
		return false
	}
	for _, pattern := range s.cfg.AllowOrigins {
		target := u.Host
		if strings.Contains(pattern, "://") {
			target = u.Scheme + "://" + u.Host
		}
		if match, err := path.Match(strings.ToLower(pattern), target); err == nil && match {
			return true
		}
	}
	return false
}

// cors lets pages of the allowed origins read answers and send what needs a
// preflight (Fetch, section 3.2).
func (s *server) cors() func(http.Handler) http.Handler {
	return cors.New(cors.Options{
		AllowOriginFunc: s.allowed,
		AllowedMethods:  []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPatch, http.MethodDelete},
		AllowedHeaders:  []string{"*"},
		ExposedHeaders:  []string{"Location", "Link", "Retry-After", "Idempotency-Replayed", "Preference-Applied"},
		MaxAge:          int(preflightAge.Seconds()),
	}).Handler
}

// checkOrigin refuses what a page of another origin sends, unless it is allowed.
func (s *server) checkOrigin(r *http.Request) error {
	if err := s.origins.Check(r); err != nil && !s.allowed(r.Header.Get("Origin")) {
		return wire.NewProblem("cross_origin", "a page of another origin may not send this: start the server with --allow-origin for its origin")
	}
	return nil
}
