package wire

import (
	"net/http"
	"time"
)

const (
	// largeBody is what a connection's buffers may not take at once.
	largeBody = 16 << 10
	// largeTimeout is how long a client may take for it.
	largeTimeout = 30 * time.Second
)

// WriteBody writes a body that may be large, and cuts a client that does not take
// it in time. A client that is gone has nobody to tell.
func WriteBody(w http.ResponseWriter, body []byte) {
	if len(body) > largeBody {
		control := http.NewResponseController(w)
		if control.SetWriteDeadline(time.Now().Add(largeTimeout)) == nil {
			defer func() { _ = control.SetWriteDeadline(time.Time{}) }()
		}
	}
	_, _ = w.Write(body)
}
