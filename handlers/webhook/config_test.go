package webhook

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/activemessage/activemessage/engine"
)

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	good := Config{URL: "https://receiver.example/hook", Secrets: []string{secret}}
	for _, c := range []struct {
		field string
		spoil func(*Config)
	}{
		{"url", func(c *Config) { c.URL = "" }},
		{"url", func(c *Config) { c.URL = "/hidden" }},
		{"url", func(c *Config) { c.URL = "receiver.example/hidden" }},
		{"url", func(c *Config) { c.URL = "//receiver.example/hidden" }},
		{"url", func(c *Config) { c.URL = "ftp://receiver.example/hidden" }},
		{"url", func(c *Config) { c.URL = "https:///hidden" }},
		{"url", func(c *Config) { c.URL = "https://:443/hidden" }},
		{"url", func(c *Config) { c.URL = "https:receiver.example/hidden" }},
		{"url", func(c *Config) { c.URL = "https://user:hidden@receiver.example" }},
		{"url", func(c *Config) { c.URL = "https://receiver.example/#hidden" }},
		{"url", func(c *Config) { c.URL = "https://receiver.example:0/hidden" }},
		{"url", func(c *Config) { c.URL = "https://receiver.example:65536/hidden" }},
		{"url", func(c *Config) { c.URL = "https://receiver.example:http/hidden" }},
		{"url", func(c *Config) { c.URL = "https://receiver.example/%zz?hidden" }},
		{"url", func(c *Config) { c.URL = "https://receiver.example/\nhidden" }},
		{"url", func(c *Config) { c.URL = "https://10.0.0.1/hidden" }},
		{"url", func(c *Config) { c.URL = "https://[::ffff:169.254.169.254]/hidden" }},
		{"callback", func(c *Config) { c.Callback = "am.example" }},
		{"callback", func(c *Config) { c.Callback = "https://am.example/?hidden" }},
		{"callback", func(c *Config) { c.Callback = "https://am.example/?" }},
		{"secrets", func(c *Config) { c.Secrets = nil }},
		{"allow/0", func(c *Config) { c.Allow = []netip.Prefix{{}} }},
		{"lease", func(c *Config) { c.Lease = -1 }},
		{"max_body", func(c *Config) { c.MaxBody = -1 }},
		{"header_timeout", func(c *Config) { c.HeaderTimeout = -1 }},
		{"breaker_delay", func(c *Config) { c.BreakerDelay = -1 }},
	} {
		cfg := good
		c.spoil(&cfg)
		_, err := New(cfg)
		invalid, ok := errors.AsType[*engine.InvalidError](err)
		if !ok || invalid.Field != c.field || strings.Contains(err.Error(), "hidden") {
			t.Errorf("%s %q: %v", c.field, cfg.URL, err)
		}
	}
	for _, url := range []string{"http://receiver.example", "HTTPS://receiver.example:8443/a%20b?c=d", "https://[2606:4700::1111]/", "http://8.8.8.8:1"} {
		cfg := good
		cfg.URL = url
		if _, err := New(cfg); err != nil {
			t.Errorf("%s: %v", url, err)
		}
	}
}
