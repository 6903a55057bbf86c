package config_test

import (
	"testing"

	"github.com/activemessage/activemessage/internal/config"
)

// The name of a handler is told as one, whatever else is wrong: the order in which the
// schema is tried is another in each run.
func TestAWrongNameBesideOtherFaults(t *testing.T) {
	t.Parallel()
	const want = "am.yaml:1:12: handlers.\"bad name!\": is no message type: use 1 to 128 letters, digits and . _ - :\n" +
		"am.yaml:2:16: drain_timeout: \"x\": use a duration such as 500ms, 30s or 1h30m\n" +
		"am.yaml:3:19: retain_age.log: \"1d\": use a duration such as 90m or 720h, or \"0\" for ever"
	for range 20 {
		_, err := config.Parse("am.yaml", []byte("handlers: {\"bad name!\": {exec: [cat]}}\ndrain_timeout: x\nretain_age: {log: 1d}\n"))
		if err == nil || err.Error() != want {
			t.Fatalf("%v\nexpected\n%s", err, want)
		}
	}
}
