package ws_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strconv"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/activemessage/activemessage/api"
	"github.com/activemessage/activemessage/engine"
	"github.com/activemessage/activemessage/ws"
)

// The clients of the benchmarks run in a process of their own, this binary
// started again, so that what the server's process uses is the server's.
const (
	benchClients = "ACTIVEMESSAGE_BENCH_CLIENTS" // how many connections
	benchAddress = "ACTIVEMESSAGE_BENCH_ADDRESS"
	benchStream  = "ACTIVEMESSAGE_BENCH_STREAM" // event streams instead of WebSockets
)

// BenchmarkFanout measures how fast notifications reach 1, 100 and 1,000
// subscribers to all, with as many under way as said: published, and not yet
// read by everyone; over WebSockets, and over event streams. The floor writes frames
// of the same size to as many plain sockets, read by the same clients. All three
// take turns within one benchmark.
func BenchmarkFanout(b *testing.B) {
	for _, subscribers := range []int{1, 100, 1000} {
		for _, underway := range []int{1, 32} {
			b.Run(fmt.Sprintf("subscribers=%d/underway=%d", subscribers, underway), func(b *testing.B) {
				subject, floor := newFanout(b, subscribers, underway), newFloor(b, subscribers, underway)
				stream := newStreamFanout(b, subscribers, underway)
				round := max(underway*4, 20_000/subscribers)
				for done := 0; done < b.N; done += round {
					n := min(round, b.N-done)
					subject.run(n)
					b.StopTimer()
					floor.run(n)
					stream.run(n)
					b.StartTimer()
				}
				deliveries := float64(b.N * subscribers)
				b.ReportMetric(deliveries/subject.spent.Seconds(), "deliveries/s")
				b.ReportMetric(subject.cpu.Seconds()/deliveries*1e6, "cpu-s/million")
				b.ReportMetric(floor.cpu.Seconds()/deliveries*1e6, "floor-cpu-s/million")
				b.ReportMetric(float64(floor.spent)/float64(subject.spent), "ratio-to-floor")
				b.ReportMetric(deliveries/stream.spent.Seconds(), "sse-deliveries/s")
				b.ReportMetric(stream.cpu.Seconds()/deliveries*1e6, "sse-cpu-s/million")
				b.ReportMetric(float64(subject.spent)/float64(stream.spent), "sse-ratio-to-websocket")
			})
		}
	}
}

// fanout publishes and waits for the clients.
type fanout struct {
	b          *testing.B
	underway   int
	publish    func(from, to int) // notifications numbered from+1 to to
	acks       *bufio.Reader
	published  int
	delivered  int
	spent, cpu time.Duration
}

func (f *fanout) run(n int) {
	began, cpu := time.Now(), processCPU()
	for end := f.published + n; f.delivered < end; {
		if next := min(end, f.delivered+f.underway); next > f.published {
			f.publish(f.published, next)
			f.published = next
		}
		var ack [8]byte
		if _, err := io.ReadFull(f.acks, ack[:]); err != nil {
			f.b.Fatal(err)
		}
		// Clients acknowledge from many goroutines, so not always in order.
		f.delivered = max(f.delivered, int(binary.BigEndian.Uint64(ack[:])))
	}
	f.spent += time.Since(began)
	f.cpu += processCPU() - cpu
}

func processCPU() time.Duration {
	var usage syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &usage) != nil {
		return 0
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

func newFanout(b *testing.B, subscribers, underway int) *fanout {
	n := start(b, engine.Config{}, ws.Config{})
	f := &fanout{b: b, underway: underway, acks: startClients(b, n.http.Listener.Addr().String(), subscribers)}
	for n.sockets.Stats().Connections < subscribers {
		runtime.Gosched()
	}
	f.publish = func(from, to int) {
		for range to - from {
			n.submit("echo", `"ok"`, "request_123")
		}
	}
	return f
}

// newStreamFanout is newFanout over event streams.
func newStreamFanout(b *testing.B, subscribers, underway int) *fanout {
	n := start(b, engine.Config{}, ws.Config{})
	handler, err := api.New(n.engine, api.Config{})
	if err != nil {
		b.Fatal(err)
	}
	server := httptest.NewServer(handler)
	b.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	f := &fanout{b: b, underway: underway, acks: startClients(b, server.Listener.Addr().String(), subscribers, benchStream+"=1")}
	f.publish = func(from, to int) {
		for range to - from {
			n.submit("echo", `"ok"`, "request_123")
		}
	}
	f.run(1) // so that all are there
	f.spent, f.cpu = 0, 0
	return f
}

// newFloor writes what a server would, without one.
func newFloor(b *testing.B, subscribers, underway int) *fanout {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = listener.Close() })
	f := &fanout{b: b, underway: underway, acks: startClients(b, listener.Addr().String(), subscribers)}
	conns := make([]net.Conn, subscribers)
	for i := range conns {
		if conns[i], err = listener.Accept(); err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = conns[i].Close() })
		if _, err := io.WriteString(conns[i], "HTTP/1.1 101 Switching Protocols\r\n\r\n"); err != nil {
			b.Fatal(err)
		}
	}
	item := bytes.Repeat([]byte("x"), 256) // about one notification in JSON
	f.publish = func(from, to int) {
		payload := fmt.Appendf(nil, `{"op":"notifications","cursor":"00000000.%d","items":[`, to)
		for range to - from {
			payload = append(payload, item...)
		}
		frame := binary.BigEndian.AppendUint64([]byte{0x81, 127}, uint64(len(payload)))
		frame = append(frame, payload...)
		for _, conn := range conns {
			if _, err := conn.Write(frame); err != nil {
				b.Fatal(err)
			}
		}
	}
	return f
}

// startClients starts the clients' process and returns its acknowledgements: the
// numbers that all clients have reached.
func startClients(b *testing.B, address string, count int, environment ...string) *bufio.Reader {
	cmd := exec.Command(os.Args[0], "-test.run", "^$")
	cmd.Env = append(os.Environ(), benchClients+"="+strconv.Itoa(count), benchAddress+"="+address)
	cmd.Env = append(cmd.Env, environment...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return bufio.NewReader(out)
}

// runClients is the main of the clients' process.
func runClients(count int, address string) error {
	const window = 1 << 12
	read := readNumbers
	if os.Getenv(benchStream) != "" {
		read = readEvents
	}
	var reached [window]atomic.Int64
	failed := make(chan error, count)
	for range count {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			return err
		}
		go func() {
			failed <- read(conn, func(from, to uint64) {
				for number := from + 1; number <= to; number++ {
					if slot := &reached[number%window]; slot.Add(1) == int64(count) {
						slot.Store(0)
						var ack [8]byte
						binary.BigEndian.PutUint64(ack[:], number)
						_, _ = os.Stdout.Write(ack[:])
					}
				}
			})
		}()
	}
	return <-failed
}

// readNumbers subscribes to all and reports how far each frame brings it.
func readNumbers(conn net.Conn, report func(from, to uint64)) error {
	_, err := fmt.Fprintf(conn, "GET /v1/ws?subscribe=*&since=0 HTTP/1.1\r\nHost: bench\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
	if err != nil {
		return err
	}
	r := bufio.NewReaderSize(conn, 16<<10)
	for {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return err
		}
		if len(line) == 2 {
			break
		}
	}
	var at uint64
	for {
		number, err := readCursor(r)
		if err != nil {
			return err
		}
		if number > at {
			report(at, number)
			at = number
		}
	}
}

// readEvents is readNumbers over an event stream.
func readEvents(conn net.Conn, report func(from, to uint64)) error {
	if _, err := io.WriteString(conn, "GET /v1/notifications?subscribe=*&since=0 HTTP/1.1\r\nHost: bench\r\n\r\n"); err != nil {
		return err
	}
	response, err := http.ReadResponse(bufio.NewReaderSize(conn, 16<<10), nil)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	var at uint64
	lines := bufio.NewScanner(response.Body)
	for lines.Scan() {
		id, is := bytes.CutPrefix(lines.Bytes(), []byte("id: "))
		if !is {
			continue
		}
		_, digits, _ := bytes.Cut(id, []byte("."))
		if number, err := strconv.ParseUint(string(digits), 10, 64); err == nil && number > at {
			report(at, number)
			at = number
		}
	}
	return io.ErrUnexpectedEOF
}

// readCursor reads a frame and returns the number of its cursor; 0 if it is no
// notifications frame.
func readCursor(r *bufio.Reader) (uint64, error) {
	head, err := r.Peek(2)
	if err != nil {
		return 0, err
	}
	length, skip := int(head[1]), 2
	if length >= 126 {
		skip = map[int]int{126: 4, 127: 10}[length]
		if head, err = r.Peek(skip); err != nil {
			return 0, err
		}
		length = 0
		for _, c := range head[2:] {
			length = length<<8 | int(c)
		}
	}
	if _, err := r.Discard(skip); err != nil {
		return 0, err
	}
	const before = len(`{"op":"notifications","cursor":"00000000.`)
	start, err := r.Peek(min(length, before+20))
	if err != nil {
		return 0, err
	}
	var number uint64
	if bytes.HasPrefix(start, []byte(`{"op":"notifications"`)) {
		for _, c := range start[before:] {
			if c < '0' || c > '9' {
				break
			}
			number = number*10 + uint64(c-'0')
		}
	}
	_, err = r.Discard(length)
	return number, err
}

// BenchmarkIdle measures what 5,000 idle WebSockets hold: heap and stacks after a
// collection, and resident memory.
func BenchmarkIdle(b *testing.B) {
	const connections = 5000
	for range b.N {
		e, err := engine.New(engine.Config{})
		if err != nil {
			b.Fatal(err)
		}
		sockets := ws.New(e, ws.Config{})
		server := httptest.NewServer(sockets)
		heap, resident := held(b)
		startClients(b, server.Listener.Addr().String(), connections)
		for sockets.Stats().Connections < connections {
			runtime.Gosched()
		}
		heapAfter, residentAfter := held(b)
		b.ReportMetric(float64(heapAfter-heap)/connections/1024, "heap+stack-KB/conn")
		b.ReportMetric(float64(residentAfter-resident)/connections/1024, "resident-KB/conn")
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_ = e.Drain(context.Background())
		_ = sockets.Shutdown(ctx)
		server.Close()
	}
}

// held returns what the process holds, in bytes.
func held(b *testing.B) (heap, resident int64) {
	debug.FreeOSMemory()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	statm, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		b.Skip("resident memory is read from /proc")
	}
	fields := bytes.Fields(statm)
	pages, err := strconv.ParseInt(string(fields[1]), 10, 64)
	if err != nil {
		b.Fatal(err)
	}
	return int64(m.HeapInuse + m.StackInuse), pages * int64(os.Getpagesize())
}
