//go:build unix

package exec_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	osexec "os/exec"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"go.uber.org/goleak"

	"github.com/activemessage/activemessage/engine"
	"github.com/activemessage/activemessage/handlers/exec"
)

// asCommand in the environment makes the test's binary a command.
const asCommand = "EXEC_TEST_COMMAND"

// TestMain fails the package if a test leaves a goroutine behind; or it is a command.
func TestMain(m *testing.M) {
	if mode := os.Getenv(asCommand); mode != "" {
		command(mode, os.Args[1:])
		return
	}
	goleak.VerifyTestMain(m)
}

// command is what the tests run.
func command(mode string, args []string) {
	switch mode {
	case "cat":
		_, err := io.Copy(os.Stdout, os.Stdin)
		must(err)
	case "exit": // code, standard error, standard output
		fmt.Fprint(os.Stderr, args[1])
		fmt.Print(args[2])
		code, err := strconv.Atoi(args[0])
		must(err)
		os.Exit(code)
	case "exit-attempt": // the codes of the attempts
		attempt, err := strconv.Atoi(os.Getenv("AM_ATTEMPT"))
		must(err)
		code, err := strconv.Atoi(args[attempt-1])
		must(err)
		os.Exit(code)
	case "environment":
		environment := os.Environ()
		slices.Sort(environment)
		fmt.Print(strings.Join(environment, "\n"))
	case "arguments":
		fmt.Printf("%q", args)
	case "directory":
		directory, err := os.Getwd()
		must(err)
		fmt.Print(directory)
	case "flood":
		for block := bytes.Repeat([]byte("x"), 4096); ; {
			_, err := os.Stdout.Write(block)
			must(err)
		}
	case "talk": // half a message in, as much as it likes out
		_, err := io.CopyN(io.Discard, os.Stdin, 100)
		must(err)
		_, err = os.Stdout.Write(bytes.Repeat([]byte("y"), 1<<20))
		must(err)
		_, err = os.Stderr.Write(bytes.Repeat([]byte("z"), 1<<20))
		must(err)
	default:
		family(mode, args)
	}
}

// family are the commands that tell they live by a connection to the address that comes
// first: it ends with them, and is no child's.
func family(mode string, args []string) {
	switch mode {
	case "live": // until killed
		alive(args[0], "command")
		never()
	case "stubborn":
		signal.Ignore(syscall.SIGTERM)
		alive(args[0], "command")
		never()
	case "polite": // exits with 0 when it is asked to
		asked := make(chan os.Signal, 1)
		signal.Notify(asked, syscall.SIGTERM)
		fmt.Print("half of it")
		alive(args[0], "command")
		<-asked
	case "verbose": // writes too much, and stays
		fmt.Print(strings.Repeat("x", 5001))
		alive(args[0], "command")
		never()
	case "parent": // of a child that is stubborn, until killed
		child("grandchild", args[0], nil)
		alive(args[0], "command")
		never()
	case "grandchild": // until it hears something
		signal.Ignore(syscall.SIGTERM)
		alive(args[0], "grandchild")
		never()
	case "leaver": // exits when its child lives, which holds its output open
		leave(args[0], nil)
	case "escaper": // the same, and its child has a session of its own
		leave(args[0], &syscall.SysProcAttr{Setsid: true})
	case "server":
		server(args[0])
	default:
		must(fmt.Errorf("no mode %q", mode))
	}
}

// child starts this binary once more, with our standard output and error.
func child(mode, address string, attributes *syscall.SysProcAttr) {
	c := &osexec.Cmd{
		Path: os.Args[0], Args: []string{os.Args[0], address}, Env: []string{asCommand + "=" + mode},
		Stdout: os.Stdout, Stderr: os.Stderr, SysProcAttr: attributes,
	}
	must(c.Start())
}

// never returns when the test hangs up, or says something: a test that fails leaves no
// process behind.
func never() { _, _ = held[0].Read(make([]byte, 1)) }

// leave leaves a child behind when the test says so.
func leave(address string, attributes *syscall.SysProcAttr) {
	child("grandchild", address, attributes)
	fmt.Print("left")
	alive(address, "command")
	_, err := held[0].Read(make([]byte, 1))
	must(err)
}

// server runs a command for as long as it lives.
func server(address string) {
	h, err := exec.New(exec.Config{Command: []string{os.Args[0], address}, Env: []string{asCommand + "=live"}})
	must(err)
	_, err = h.Handle(context.Background(), &engine.Message{})
	must(err)
}

// alive connects, and says who it is.
func alive(address, who string) {
	connection, err := net.Dial("tcp", address)
	must(err)
	_, err = io.WriteString(connection, who+"\n")
	must(err)
	held = append(held, connection)
}

var held []net.Conn // not to be collected, which would close them

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// run is a handler that runs this binary.
func run(t testing.TB, cfg exec.Config, mode string, args ...string) engine.Handler {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cfg.Command = append([]string{self}, args...)
	cfg.Env = append(cfg.Env, asCommand+"="+mode, "GORACE=atexit_sleep_ms=0")
	h, err := exec.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func message(data string) *engine.Message { return &engine.Message{MessageData: []byte(data)} }

// start returns an engine with a handler for the type "run", which the test's end
// drains.
func start(t testing.TB, h engine.Handler, p engine.Policy) *engine.Engine {
	t.Helper()
	e, err := engine.New(engine.Config{})
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Register("run", h, p); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Drain(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return e
}

// ended submits a message, and returns its status when it has ended.
func ended(t testing.TB, e *engine.Engine, data string) engine.Status {
	t.Helper()
	receipt, err := e.Submit(t.Context(), engine.Submission{MessageType: "run", MessageData: []byte(data)})
	if err != nil {
		t.Fatal(err)
	}
	return await(t, e, receipt.ID)
}

func await(t testing.TB, e *engine.Engine, id engine.ID) engine.Status {
	t.Helper()
	status, err := e.Wait(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return status
}

// failure is what clients read of an error.
func failure(t testing.TB, err error) *engine.Error {
	t.Helper()
	told, ok := errors.AsType[*engine.Error](err)
	if !ok {
		t.Fatalf("%v is not for clients", err)
	}
	return told
}
