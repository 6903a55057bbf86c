package engine_test

import (
	"testing"

	"github.com/activemessage/activemessage/engine"
)

// Each submission is answered in its place, and those accepted keep their order.
func TestSubmitAllAnswersEachInItsPlace(t *testing.T) {
	t.Parallel()
	e := start(t, engine.Config{})
	register(t, e, "work", engine.Policy{}, echo)
	sub := subscribe(t, e, "*", engine.Cursor{})
	of := func(messageType, prefix string) engine.Submission {
		return engine.Submission{MessageType: messageType, ResponseNotification: prefix, Key: "k"}
	}
	all := e.SubmitAll(t.Context(), []engine.Submission{of("work", "a"), of("", "b"), of("work", "c"), of("nope", ""), of("work", "d")})
	if len(all) != 5 {
		t.Fatalf("%d answers to 5 submissions", len(all))
	}
	for i, target := range []error{nil, engine.ErrInvalid, nil, engine.ErrUnknownType, nil} {
		mustBe(t, all[i].Err, target)
		if accepted := !all[i].Receipt.ID.IsZero(); accepted != (target == nil) {
			t.Errorf("submission %d: %+v", i, all[i])
		}
	}
	for i, n := range read(t, sub, 3) { // by their key, in the order accepted
		if id := all[2*i].Receipt.ID; n.ID != id {
			t.Errorf("notification %d is of %s, expected %s", i, n.ID, id)
		}
	}
	if none := e.SubmitAll(t.Context(), nil); len(none) != 0 {
		t.Errorf("%+v", none)
	}
}
