//go:build unix

package exec_test

import (
	"bytes"
	"context"
	osexec "os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/activemessage/activemessage/engine"
	"github.com/activemessage/activemessage/handlers/exec"
)

// BenchmarkHandler measures a message from Submit through an engine and its command to
// its status, against the same command started by os/exec alone, with the same data in
// and out. Both run in turns within one benchmark; ratio-to-fork is what to look at. The
// CPU is that of both processes.
func BenchmarkHandler(b *testing.B) {
	for _, c := range []struct {
		name    string
		command []string
		bytes   int
	}{
		{"true", []string{"true"}, 0},
		{"cat/bytes=100", []string{"cat"}, 100},
		{"cat/bytes=1000000", []string{"cat"}, 1_000_000},
	} {
		b.Run(c.name, func(b *testing.B) {
			data := bytes.Repeat([]byte("x"), c.bytes)
			subject, floor := throughEngine(b, c.command, data), &side{run: bareFork(b, c.command, data)}
			const round = 20
			for done := 0; done < b.N; done += round {
				n := min(round, b.N-done)
				subject.turn(n)
				b.StopTimer()
				floor.turn(n)
				b.StartTimer()
			}
			b.ReportMetric(float64(b.N)/subject.spent.Seconds(), "msg/s")
			b.ReportMetric(float64(floor.spent)/float64(subject.spent), "ratio-to-fork")
			b.ReportMetric(float64(subject.cpu.Microseconds())/float64(b.N), "cpu-µs/msg")
			b.ReportMetric(float64(floor.cpu.Microseconds())/float64(b.N), "cpu-µs/fork")
		})
	}
}

// side is one way to run a command, and what it took.
type side struct {
	run        func()
	spent, cpu time.Duration
}

func (s *side) turn(n int) {
	began, used := time.Now(), cpuTime()
	for range n {
		s.run()
	}
	s.spent += time.Since(began)
	s.cpu += cpuTime() - used
}

// cpuTime is what this process and its children that have ended have used.
func cpuTime() time.Duration {
	var total time.Duration
	for _, who := range []int{syscall.RUSAGE_SELF, syscall.RUSAGE_CHILDREN} {
		var usage syscall.Rusage
		if syscall.Getrusage(who, &usage) == nil {
			total += time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
		}
	}
	return total
}

func throughEngine(b *testing.B, command []string, data []byte) *side {
	h, err := exec.New(exec.Config{Command: command})
	if err != nil {
		b.Fatal(err)
	}
	e := start(b, h, engine.Policy{})
	ctx := context.Background()
	return &side{run: func() {
		receipt, err := e.Submit(ctx, engine.Submission{MessageType: "run", MessageData: data})
		if err != nil {
			b.Fatal(err)
		}
		if status, err := e.Wait(ctx, receipt.ID); err != nil || len(status.Result.Data) != len(data) {
			b.Fatalf("%+v, %v", status, err)
		}
	}}
}

// bareFork is the floor: what a Go program writes that runs a command.
func bareFork(b *testing.B, command []string, data []byte) func() {
	return func() {
		var out, errs bytes.Buffer
		cmd := osexec.CommandContext(context.Background(), command[0], command[1:]...)
		cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(data), &out, &errs
		if err := cmd.Run(); err != nil || out.Len() != len(data) {
			b.Fatal(err, out.Len())
		}
	}
}
