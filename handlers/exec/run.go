package exec

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	osexec "os/exec"
	"sync"
	"sync/atomic"
	"time"

	"github.com/activemessage/activemessage/engine"
)

// linger is how long a pipe that somebody outside of the group holds open is waited
// for, once the group is dead. All that the command itself wrote is read in any case.
const linger = 250 * time.Millisecond

// run is one process, from its start until it and all that served it have ended.
//
// Its group is signalled by wait and by interrupt only, and not after wait has reaped
// the command: until then the kernel gives the group's number to nobody else.
type run struct {
	cmd       *osexec.Cmd
	killAfter time.Duration
	stop      context.CancelCauseFunc // the command: of the run's own context
	output    output                  // of stdout's goroutine until idle is closed
	errors    stderr                  // of stderr's goroutine until idle is closed

	pipes   []*os.File   // our ends; each is closed by the goroutine that copies
	copying atomic.Int32 // such goroutines
	idle    chan struct{}
	exited  chan struct{} // closed by wait: the command is a zombie, or reaped

	unwatch     func() bool   // context.AfterFunc's: false if interrupt has begun
	stopped     chan struct{} // closed by interrupt, when it has ended
	interrupted bool          // interrupt's until stopped is closed
}

// start starts the command, and the goroutines that copy: wait waits for them.
func (c *command) start(ctx context.Context, stop context.CancelCauseFunc, m *engine.Message) (*run, error) {
	r := &run{
		killAfter: c.cfg.KillAfter,
		stop:      stop,
		output:    output{limit: c.cfg.MaxOutput},
		errors:    stderr{report: m.Progress},
		idle:      make(chan struct{}),
		exited:    make(chan struct{}),
		stopped:   make(chan struct{}),
	}
	r.cmd = &osexec.Cmd{Path: c.path, Args: c.cfg.Command, Dir: c.cfg.Dir, Env: c.environmentOf(ctx, m), SysProcAttr: ownGroup()}
	jobs, theirs, err := r.connect(m.MessageData)
	if err == nil {
		err = r.cmd.Start()
	}
	closeAll(theirs)
	if err != nil {
		closeAll(r.pipes)
		return nil, err
	}
	r.copying.Store(int32(len(jobs)))
	for i, job := range jobs {
		go func() {
			job()
			_ = r.pipes[i].Close()
			if r.copying.Add(-1) == 0 {
				close(r.idle)
			}
		}()
	}
	r.unwatch = context.AfterFunc(ctx, r.interrupt)
	return r, nil
}

// connect makes the command's pipes, and what is to be done at our end of each. The
// command gets the other ends. Without data its input is the null device.
func (r *run) connect(data []byte) (jobs []func(), theirs []*os.File, err error) {
	pipe := func() (*os.File, *os.File) {
		reader, writer, failed := os.Pipe()
		err = errors.Join(err, failed)
		return reader, writer
	}
	add := func(ours, other *os.File, job func()) {
		if ours != nil {
			r.pipes, theirs, jobs = append(r.pipes, ours), append(theirs, other), append(jobs, job)
		}
	}
	out, command := pipe()
	r.cmd.Stdout = command
	add(out, command, func() { copyAll(&r.output, out, r.stop) })
	errs, command := pipe()
	r.cmd.Stderr = command
	add(errs, command, func() { copyAll(&r.errors, errs, r.stop) })
	if len(data) > 0 {
		command, in := pipe()
		r.cmd.Stdin = command
		add(in, command, func() { _, _ = in.Write(data) }) // a command need not read it
	}
	return jobs, theirs, err
}

func closeAll(files []*os.File) {
	for _, f := range files {
		_ = f.Close()
	}
}

// wait returns when the command, what it left of its group, and the run's goroutines
// have ended.
func (r *run) wait() {
	reaped := !awaitExit(r.cmd)
	if reaped {
		_ = r.cmd.Wait() // ProcessState says it better
	}
	close(r.exited)
	if !r.unwatch() {
		<-r.stopped
	}
	killRest(r.cmd)
	if !reaped {
		_ = r.cmd.Wait()
	}
	timer := time.NewTimer(linger)
	defer timer.Stop()
	select {
	case <-r.idle:
	case <-timer.C:
		for _, f := range r.pipes {
			release(f)
		}
		<-r.idle
	}
}

// interrupt asks the group to end, and makes it after a while. It is called in a
// goroutine of its own when the context ends before the command does.
func (r *run) interrupt() {
	defer close(r.stopped)
	select {
	case <-r.exited:
		return
	default:
	}
	r.interrupted = true
	terminate(r.cmd)
	timer := time.NewTimer(r.killAfter)
	defer timer.Stop()
	select {
	case <-r.exited:
	case <-timer.C:
		kill(r.cmd)
		return
	}
	select { // what the command started may be tidying up; wait kills what is left
	case <-r.idle:
	case <-timer.C:
	}
}

// release ends a read or write that waits for a process which is none of ours.
func release(f *os.File) {
	if f.SetDeadline(time.Unix(1, 0)) != nil { // not every system can
		_ = f.Close()
	}
}

var buffers = sync.Pool{New: func() any { return new([32 << 10]byte) }}

// copyAll copies until the pipe ends, or is released. What does not fit stops the
// command.
func copyAll(into io.Writer, f *os.File, stop context.CancelCauseFunc) {
	buffer := buffers.Get().(*[32 << 10]byte)
	defer buffers.Put(buffer)
	for {
		n, err := f.Read(buffer[:])
		if _, full := into.Write(buffer[:n]); full != nil {
			stop(full)
			return
		}
		if errors.Is(err, os.ErrDeadlineExceeded) {
			drain(into, f, buffer[:])
		}
		if err != nil {
			return
		}
	}
}

// output is the result so far.
type output struct {
	data  bytes.Buffer
	limit int64
	over  bool // there was more
}

// Write keeps p, or fails with errTooMuch.
func (o *output) Write(p []byte) (int, error) {
	if int64(o.data.Len())+int64(len(p)) > o.limit {
		o.over = true
		return 0, errTooMuch
	}
	return o.data.Write(p)
}

// bytes returns what was written, in no more memory than it needs: results are kept.
func (o *output) bytes() []byte { return bytes.Clone(o.data.Bytes()) }
