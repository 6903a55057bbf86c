package config_test

import (
	"testing"
	"time"

	"github.com/activemessage/activemessage/engine"
	"github.com/activemessage/activemessage/handlers/exec"
	"github.com/activemessage/activemessage/internal/config"
)

// A command is killed before its message goes on without it, also if only a short grace
// is given.
func TestKillAfterFollowsGrace(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]time.Duration{
		"":                             0, // the package's
		", grace: 500ms":               250 * time.Millisecond,
		", grace: 1m":                  0,
		", grace: 1m, kill_after: 59s": 59 * time.Second,
	} {
		if got := parse(t, "handlers: {a: {exec: [a]"+text+"}}").Handlers[0].Exec.KillAfter; got != want {
			t.Errorf("%s: %s, expected %s", text, got, want)
		}
	}
	if exec.DefaultKillAfter > engine.DefaultGrace/2 {
		t.Error("the package's default is more than half of the engine's")
	}
}

func TestKillAfterBeyondGrace(t *testing.T) {
	t.Parallel()
	_, err := config.Parse("am.yaml", []byte("handlers:\n  a: {exec: [a], kill_after: 2s}\n  b: {exec: [a], kill_after: 1s, grace: 1s}\n  c: {exec: [a], kill_after: 1999ms}\n"))
	const want = "am.yaml:2:30: handlers.a.kill_after: 2s is not less than grace, 2s: lower it, or raise that\n" +
		"am.yaml:3:30: handlers.b.kill_after: 1s is not less than grace, 1s: lower it, or raise that"
	if err == nil || err.Error() != want {
		t.Errorf("%v\nexpected\n%s", err, want)
	}
}
