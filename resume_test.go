package activemessage_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/coder/websocket"

	"github.com/activemessage/activemessage/engine"
)

// Connections are cut thousands of times, after any byte, while messages are being
// published; each subscriber comes back with its cursor, over whichever transport:
// what it has seen in the end is what was published, in order, nothing twice.
func TestResumeAfterThousandsOfCuts(t *testing.T) {
	t.Parallel()
	n := newNode(t, nil, engine.Config{})
	const (
		messages    = 4000
		subscribers = 6
		enough      = 2000
	)
	begin := n.engine.Cursor().String()
	// The first subscriber sets the pace: most cuts come while messages are published.
	pace := make(chan struct{}, 64)
	ctx, fail := context.WithCancel(t.Context())
	defer fail()
	var cuts atomic.Int64
	var working sync.WaitGroup
	for i := range subscribers {
		working.Go(func() {
			s := &resumer{
				node:   n,
				random: rand.New(rand.NewPCG(uint64(i), 7)),
				query:  []string{"subscribe=*", "message_type=echo", fmt.Sprintf("subscribe=even_*&subscribe=odd_*&message_type=echo&subscribe=even_%d", i)}[i%3],
				cursor: begin,
				want:   messages,
			}
			if i == 0 {
				s.pace = pace
			}
			for len(s.seen) < messages {
				if err := s.connect(ctx); err != nil && !errors.Is(err, errCut) {
					t.Errorf("subscriber %d, after %d notifications: %v", i, len(s.seen), err)
					fail()
					return
				}
				cuts.Add(1)
			}
			for j, number := range s.seen {
				if number != uint64(j+1) {
					t.Errorf("subscriber %d: notification %d in place %d", i, number, j+1)
					return
				}
			}
		})
	}
	working.Go(func() {
		for i := range messages {
			select {
			case pace <- struct{}{}:
			case <-ctx.Done():
				return
			}
			prefix := []string{"even_", "odd_"}[i%2] + fmt.Sprint(i)
			_, err := n.engine.Submit(ctx, engine.Submission{MessageType: "echo", ResponseNotification: prefix, MessageData: []byte(prefix)})
			if err != nil {
				t.Errorf("submit: %v", err)
				return
			}
		}
	})
	working.Wait()
	if got := cuts.Load(); got < enough {
		t.Errorf("only %d cuts", got)
	}
	t.Logf("%d cuts", cuts.Load())
}

// errCut is how a connection of a resumer ends.
var errCut = errors.New("cut")

// resumer is a subscriber whose connections do not last.
type resumer struct {
	node   *node
	random *rand.Rand
	query  string
	cursor string
	want   int
	seen   []uint64
	pace   <-chan struct{} // received from for each notification, if there
}

func (s *resumer) see(number uint64) {
	s.seen = append(s.seen, number)
	if s.pace != nil {
		<-s.pace
	}
}

// connect follows over one transport until the connection is cut, or all was seen.
func (s *resumer) connect(ctx context.Context) error {
	dialer := net.Dialer{}
	transport := &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := dialer.DialContext(ctx, network, address)
			if err != nil {
				return nil, err
			}
			return &cutConn{Conn: conn, left: 300 + int(2500*s.random.ExpFloat64())}, nil
		},
	}
	client := &http.Client{Transport: transport}
	if s.random.IntN(2) == 0 {
		return s.webSocket(ctx, client)
	}
	return s.eventStream(ctx, client)
}

func (s *resumer) webSocket(ctx context.Context, client *http.Client) error {
	url := s.node.URL + "/v1/ws?" + s.query + "&since=" + s.cursor
	conn, _, err := websocket.Dial(ctx, url, &websocket.DialOptions{HTTPClient: client})
	if err != nil {
		return asCut(err)
	}
	defer func() { _ = conn.CloseNow() }()
	conn.SetReadLimit(1 << 20)
	for len(s.seen) < s.want {
		_, data, err := conn.Read(ctx)
		if err != nil {
			return asCut(err)
		}
		var frame struct {
			Op     string
			Cursor string
			Items  []struct{ Number uint64 }
		}
		if err := json.Unmarshal(data, &frame); err != nil {
			return err
		}
		switch frame.Op {
		case "welcome":
		case "notifications":
			for _, item := range frame.Items {
				s.see(item.Number)
			}
			s.cursor = frame.Cursor
		default:
			return fmt.Errorf("frame %s", data)
		}
	}
	return nil
}

func (s *resumer) eventStream(ctx context.Context, client *http.Client) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.node.URL+"/v1/notifications?"+s.query, nil)
	if err != nil {
		return err
	}
	r.Header.Set("Last-Event-ID", s.cursor)
	response, err := client.Do(r)
	if err != nil {
		return asCut(err)
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s", response.Status)
	}
	events := eventReader{lines: bufio.NewReader(response.Body)}
	for len(s.seen) < s.want {
		event, err := events.next()
		if err != nil {
			return asCut(err)
		}
		s.cursor = event.id
		if event.data == "" {
			continue
		}
		var item struct{ Number uint64 }
		if err := json.Unmarshal([]byte(event.data), &item); err != nil || event.name != "" {
			return fmt.Errorf("event %+v: %w", event, err)
		}
		s.see(item.Number)
	}
	return nil
}

// asCut makes errCut of what a cut looks like through a client.
func asCut(err error) error {
	if errors.Is(err, errCut) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) || strings.Contains(err.Error(), errCut.Error()) {
		return errCut
	}
	return err
}

// cutConn is a connection that breaks after a number of received bytes.
type cutConn struct {
	net.Conn
	left int
}

func (c *cutConn) Read(b []byte) (int, error) {
	if c.left <= 0 {
		_ = c.Conn.(*net.TCPConn).SetLinger(0) // reset, as a lost network is
		_ = c.Close()
		return 0, errCut
	}
	n, err := c.Conn.Read(b[:min(len(b), c.left)])
	c.left -= n
	return n, err
}

// serverEvent is what an EventSource has of an event (WHATWG HTML, section 9.2.6).
type serverEvent struct{ id, name, data string }

// eventReader reads an event stream.
type eventReader struct {
	lines *bufio.Reader
	id    string // stays from event to event
}

// next returns the next event, or a change of the id alone, which has no data.
func (r *eventReader) next() (serverEvent, error) {
	var event serverEvent
	for {
		line, err := r.lines.ReadString('\n')
		if err != nil {
			return event, err
		}
		field, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ":")
		value = strings.TrimPrefix(value, " ")
		switch field {
		case "id":
			r.id = value
		case "event":
			event.name = value
		case "data":
			event.data += value
		case "":
			if line == "\n" {
				event.id = r.id
				return event, nil
			}
		}
	}
}
