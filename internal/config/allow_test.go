package config_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/activemessage/activemessage/internal/config"
)

// An address is the network of itself.
func TestAllowAnAddress(t *testing.T) {
	t.Parallel()
	f := parse(t, "handlers: {a: {webhook: {url: https://h, secret_env: A, allow: [127.0.0.1, '::1', 10.0.0.0/8]}}}")
	if got := fmt.Sprint(f.Handlers[0].Webhook.Allow); got != "[127.0.0.1/32 ::1/128 10.0.0.0/8]" {
		t.Error(got)
	}
	_, err := config.Parse("am.yaml", []byte("handlers: {a: {webhook: {url: https://h, secret_env: A, allow: [127.0.0, '1:2']}}}"))
	if err == nil || strings.Count(err.Error(), "is not a network: use one such as 10.1.0.0/16 or fd00::/8, or an address") != 2 {
		t.Error(err)
	}
}
