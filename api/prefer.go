package api

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/activemessage/activemessage/engine"
)

// await waits for a message's end if the client prefers that (RFC 7240), as long
// as it says and Config.MaxWait allows, and tells in Preference-Applied what was
// done. ended is false if the end did not come in time.
func (s *server) await(w http.ResponseWriter, r *http.Request, lines []string, id engine.ID) (status engine.Status, ended bool) {
	wait, async := preferences(lines)
	wait = min(wait, s.cfg.MaxWait)
	if wait <= 0 {
		if async {
			setHeader(w, "Preference-Applied", "respond-async")
		}
		return status, false
	}
	setHeader(w, "Preference-Applied", "wait="+strconv.Itoa(int(wait/time.Second)))
	ctx, cancel := context.WithTimeout(r.Context(), wait)
	defer cancel()
	status, err := s.engine.Wait(ctx, id)
	return status, err == nil
}

// preferences reads the Prefer header's lines: how long to wait, 0 if not said, and
// whether an answer without waiting is preferred. What is not understood is
// ignored, as RFC 7240, section 2 has it; of several the first counts.
func preferences(lines []string) (wait time.Duration, async bool) {
	said := false
	for preference := range strings.SplitSeq(strings.Join(lines, ","), ",") {
		preference, _, _ = strings.Cut(preference, ";")
		name, value, _ := strings.Cut(preference, "=")
		switch strings.ToLower(strings.TrimSpace(name)) {
		case "respond-async":
			async = true
		case "wait":
			seconds, err := strconv.ParseUint(strings.Trim(strings.TrimSpace(value), `"`), 10, 31)
			if err == nil && !said {
				wait, said = time.Duration(seconds)*time.Second, true
			}
		}
	}
	return wait, async
}
