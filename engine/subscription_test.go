package engine_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/activemessage/activemessage/engine"
)

func TestSelectors(t *testing.T) {
	t.Parallel()
	e := start(t, engine.Config{})
	register(t, e, "a", engine.Policy{}, echo)
	register(t, e, "b", engine.Policy{}, echo)
	all := subscribe(t, e, "*", engine.Cursor{})
	first := submit(t, e, engine.Submission{MessageType: "a", ResponseNotification: "user:42"})
	submit(t, e, engine.Submission{MessageType: "b", ResponseNotification: "user:421"})
	submit(t, e, engine.Submission{MessageType: "b", ResponseNotification: "other"})
	submit(t, e, engine.Submission{MessageType: "a"}) // nobody is told
	read(t, all, 3)
	for _, c := range []struct {
		selector engine.Selector
		expected []string
	}{
		{engine.Selector{ResponseNotification: "user:42"}, []string{"user:42:ok"}},
		{engine.Selector{ResponseNotification: "user:42*"}, []string{"user:421:ok", "user:42:ok"}},
		{engine.Selector{ResponseNotification: "*"}, []string{"other:ok", "user:421:ok", "user:42:ok"}},
		{engine.Selector{MessageType: "b"}, []string{"other:ok", "user:421:ok"}},
		{engine.Selector{MessageID: first.ID}, []string{"user:42:ok"}},
	} {
		sub, err := e.Subscribe(c.selector, engine.CursorAt(0))
		if err != nil {
			t.Fatal(err)
		}
		got := texts(read(t, sub, len(c.expected)))
		slices.Sort(got)
		if !slices.Equal(got, c.expected) {
			t.Errorf("%+v selects %q, expected %q", c.selector, got, c.expected)
		}
		sub.Close()
	}
	for _, bad := range []engine.Selector{{}, {ResponseNotification: "a", MessageType: "b"}} {
		_, err := e.Subscribe(bad, engine.Cursor{})
		mustBe(t, err, engine.ErrInvalid)
	}
}

func TestCursors(t *testing.T) {
	memoryOnly(t)
	t.Parallel()
	e := start(t, engine.Config{LogLimit: 10})
	register(t, e, "echo", engine.Policy{}, echo)
	live := subscribe(t, e, "*", engine.Cursor{})
	for i := range 25 {
		submit(t, e, engine.Submission{MessageType: "echo", ResponseNotification: name(i)})
		read(t, live, 1)
	}
	here := e.Cursor()
	other := here
	other.Log ^= 2
	for _, c := range []struct {
		name  string
		from  engine.Cursor
		gap   *engine.Gap
		first uint64
	}{
		{"within the history", engine.Cursor{Log: here.Log, Number: 20}, nil, 21},
		{"before the history", engine.Cursor{Log: here.Log, Number: 5}, &engine.Gap{From: 6, To: 15}, 16},
		{"a bare number", engine.CursorAt(5), &engine.Gap{From: 6, To: 15}, 16},
		{"the oldest kept", engine.CursorAt(0), nil, 16},
		{"another log", other, &engine.Gap{}, 16},
	} {
		sub := subscribe(t, e, "*", c.from)
		d, err := sub.Next(t.Context())
		if err == nil && d.Gap != nil && len(d.Notifications) == 0 {
			gap := d.Gap
			d, err = sub.Next(t.Context())
			d.Gap = gap
		}
		switch {
		case err != nil:
			t.Errorf("%s: %v", c.name, err)
		case (d.Gap == nil) != (c.gap == nil) || d.Gap != nil && (d.Gap.From != c.gap.From || d.Gap.To != c.gap.To || d.Gap.Cursor.Number != 15):
			t.Errorf("%s: gap %v, expected %v", c.name, d.Gap, c.gap)
		case d.Notifications[0].Number != c.first || d.Cursor != here:
			t.Errorf("%s: begins at %d, expected %d; ends at %v", c.name, d.Notifications[0].Number, c.first, d.Cursor)
		}
	}
	_, err := e.Subscribe(engine.Selector{ResponseNotification: "*"}, engine.CursorAt(26))
	mustBe(t, err, engine.ErrInvalid)
	parsed, err := engine.ParseCursor(here.String())
	if err != nil || parsed != here {
		t.Errorf("%v reads back as %v, %v", here, parsed, err)
	}
}

// A subscription that starts, grows and shrinks while notifications are being
// published still gets each matching one exactly once, in order.
func TestSubscribingUnderLoadMissesNothing(t *testing.T) {
	t.Parallel()
	e := start(t, engine.Config{QueueLimit: 1 << 20})
	register(t, e, "echo", engine.Policy{}, echo)
	messages := fewer(20_000)
	begin := e.Cursor()
	var readers sync.WaitGroup
	for i := range 8 {
		random := rand.New(rand.NewPCG(uint64(i), 1))
		readers.Go(func() {
			digit := fmt.Sprint(i)
			sub := subscribe(t, e, "request_"+digit+"*", begin)
			var seen []uint64
			reads, resumes := 0, 0
			expected := messages / 10
			for len(seen) < expected {
				d, err := sub.Next(t.Context())
				if err != nil || d.Gap != nil {
					t.Errorf("%v, gap %v", err, d.Gap)
					return
				}
				for _, n := range d.Notifications {
					seen = append(seen, n.Number)
				}
				if reads++; random.IntN(4) == 0 && resumes < 500 {
					resumes++
					sub.Close()
					sub = subscribe(t, e, "request_"+digit+"*", d.Cursor)
				}
			}
			if !slices.IsSorted(seen) || len(slices.Compact(slices.Clone(seen))) != expected {
				t.Errorf("subscriber %d: %d notifications, not all once and in order", i, len(seen))
			}
		})
	}
	for i := range messages {
		submit(t, e, engine.Submission{MessageType: "echo", ResponseNotification: fmt.Sprintf("request_%d_%d", i%10, i)})
	}
	readers.Wait()
}

func TestAddReplaysAndRemoveStops(t *testing.T) {
	t.Parallel()
	e := start(t, engine.Config{})
	register(t, e, "echo", engine.Policy{}, echo)
	publish := func(prefix string) {
		t.Helper()
		done := subscribe(t, e, prefix, engine.Cursor{})
		submit(t, e, engine.Submission{MessageType: "echo", ResponseNotification: prefix})
		read(t, done, 1)
	}
	sub := subscribe(t, e, "a_*", engine.Cursor{})
	if d, err := sub.Poll(nil); err != nil || !d.Empty() {
		t.Fatalf("%+v, %v", d, err)
	}
	publish("b_1")
	publish("a_1")
	publish("b_2")
	if err := sub.Add(engine.Selector{ResponseNotification: "b_*"}, engine.CursorAt(0)); err != nil {
		t.Fatal(err)
	}
	publish("b_3")
	publish("c_1")
	got := texts(read(t, sub, 4))
	if expected := []string{"b_1:ok", "a_1:ok", "b_2:ok", "b_3:ok"}; !slices.Equal(got, expected) {
		t.Errorf("%q, expected %q", got, expected)
	}
	if !sub.Remove(engine.Selector{ResponseNotification: "b_*"}) || sub.Remove(engine.Selector{ResponseNotification: "b_*"}) {
		t.Error("Remove has to tell whether the selector was there")
	}
	publish("b_4")
	publish("a_2")
	if got := texts(read(t, sub, 1)); got[0] != "a_2:ok" {
		t.Error(got)
	}
	if err := sub.Add(engine.Selector{ResponseNotification: "*"}, engine.Cursor{}); err != nil {
		t.Fatal(err)
	}
	publish("c_2")
	if got := texts(read(t, sub, 1)); got[0] != "c_2:ok" {
		t.Error(got)
	}
}

func TestTooManySelectors(t *testing.T) {
	t.Parallel()
	e := start(t, engine.Config{MaxSelectors: 3})
	sub := subscribe(t, e, "a", engine.Cursor{})
	for _, prefix := range []string{"a", "b", "c"} {
		if err := sub.Add(engine.Selector{ResponseNotification: prefix}, engine.Cursor{}); err != nil {
			t.Fatal(err)
		}
	}
	mustBe(t, sub.Add(engine.Selector{ResponseNotification: "d"}, engine.Cursor{}), engine.ErrInvalid)
}

func TestProgressIsTheLatest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := start(t, engine.Config{})
		report, reported, finish := make(chan float64), make(chan struct{}), make(chan struct{})
		register(t, e, "work", engine.Policy{}, func(_ context.Context, m *engine.Message) (engine.Result, error) {
			for fraction := range report {
				m.Progress(fraction, "step")
				reported <- struct{}{}
			}
			<-finish
			return engine.Result{}, nil
		})
		sub := subscribe(t, e, "request_1", engine.Cursor{})
		receipt := submit(t, e, engine.Submission{MessageType: "work", ResponseNotification: "request_1"})
		for _, fraction := range []float64{0.1, 0.2, 7} {
			report <- fraction
			<-reported
		}
		synctest.Wait()
		d, err := sub.Next(t.Context())
		if err != nil || len(d.Progress) != 1 || d.Progress[0].Progress != (engine.Progress{Fraction: 1, Note: "step"}) || d.Progress[0].ID != receipt.ID {
			t.Errorf("%+v, %v", d, err)
		}
		if status, _ := e.Get(receipt.ID); status.Progress == nil || status.Progress.Fraction != 1 {
			t.Errorf("status has %+v", status.Progress)
		}
		close(report)
		close(finish)
		read(t, sub, 1)
	})
}

func TestTheLogForgetsByAge(t *testing.T) {
	memoryOnly(t)
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := start(t, engine.Config{LogAge: time.Minute})
		register(t, e, "echo", engine.Policy{}, echo)
		live := subscribe(t, e, "*", engine.Cursor{})
		submit(t, e, engine.Submission{MessageType: "echo", ResponseNotification: "old"})
		read(t, live, 1)
		time.Sleep(2 * time.Minute)
		submit(t, e, engine.Submission{MessageType: "echo", ResponseNotification: "new"})
		if got := read(t, subscribe(t, e, "*", engine.CursorAt(0)), 1)[0].String(); got != "new:ok" {
			t.Error(got)
		}
	})
}

// What Add replays and what is read anyway do not overlap, and leave nothing out.
func TestAddWithACursorWhileSomethingIsUnread(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		add      string
		from     engine.Cursor
		expected []string
	}{
		"the same selector, from the beginning":   {"a", engine.CursorAt(0), []string{"a:ok", "a:ok"}},
		"another selector, from the beginning":    {"b", engine.CursorAt(0), []string{"b:ok", "a:ok", "a:ok"}},
		"another selector, from the own position": {"b", engine.Cursor{}, []string{"b:ok", "a:ok", "a:ok"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				e := start(t, engine.Config{})
				register(t, e, "echo", engine.Policy{}, echo)
				sub := subscribe(t, e, "a", engine.Cursor{})
				if d, err := sub.Poll(nil); err != nil || !d.Empty() {
					t.Fatalf("%+v, %v", d, err)
				}
				for _, prefix := range []string{"b", "a", "a"} {
					submit(t, e, engine.Submission{MessageType: "echo", ResponseNotification: prefix})
					synctest.Wait()
				}
				if err := sub.Add(engine.Selector{ResponseNotification: c.add}, c.from); err != nil {
					t.Fatal(err)
				}
				var got []string
				for sub.Cursor() != e.Cursor() {
					d, err := sub.Poll(nil)
					if err != nil {
						t.Fatal(err)
					}
					got = append(got, texts(d.Notifications)...)
				}
				if !slices.Equal(got, c.expected) {
					t.Errorf("%q, expected %q", got, c.expected)
				}
			})
		})
	}
}

// Selectors come and go under load: each is told all from where it was asked for.
func TestAddReplaysUnderLoad(t *testing.T) {
	t.Parallel()
	const rounds, each = 100, 10
	e := start(t, engine.Config{})
	register(t, e, "echo", engine.Policy{}, echo)
	for round := range rounds {
		sub := subscribe(t, e, "none", engine.Cursor{})
		from := e.Cursor()
		prefix := fmt.Sprint("round_", round)
		for i := range each {
			submit(t, e, engine.Submission{MessageType: "echo", ResponseNotification: prefix})
			if i == each/2 {
				_, _ = sub.Poll(nil) // the reader may be ahead of the router now
				if err := sub.Add(engine.Selector{ResponseNotification: prefix}, from); err != nil {
					t.Fatal(err)
				}
			}
		}
		read(t, sub, each)
		sub.Close()
	}
}

// A cursor of a log that is lost is told to a reader that waits.
func TestAddWithALostCursorWakesTheReader(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := start(t, engine.Config{})
		sub := subscribe(t, e, "a", engine.Cursor{})
		told := make(chan engine.Delivery, 1)
		go func() {
			d, _ := sub.Next(t.Context())
			told <- d
		}()
		synctest.Wait()
		lost, err := engine.ParseCursor("00000002.7")
		if err != nil {
			t.Fatal(err)
		}
		if err := sub.Add(engine.Selector{ResponseNotification: "b"}, lost); err != nil {
			t.Fatal(err)
		}
		if d := <-told; d.Gap == nil {
			t.Errorf("%+v", d)
		}
	})
}
