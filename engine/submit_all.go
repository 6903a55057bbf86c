package engine

import "context"

// Accepted is what became of one submission of SubmitAll.
type Accepted struct {
	// Receipt is the answer if Err is nil.
	Receipt Receipt
	// Err is one of Submit's.
	Err error
}

// SubmitAll is Submit of each submission, in order, and element i of the answer is
// that to submissions[i]: one that is refused does not fail the others. With a Store
// they share its commits, and all are answered when the last one is stored.
func (e *Engine) SubmitAll(ctx context.Context, submissions []Submission) []Accepted {
	answers := make([]Accepted, len(submissions))
	if e.durable == nil {
		for i := range submissions {
			answers[i].Receipt, answers[i].Err = e.Submit(ctx, submissions[i])
		}
		return answers
	}
	pending := make([]pendingSubmit, len(submissions))
	for i := range submissions {
		pending[i] = e.beginSubmit(ctx, submissions[i])
	}
	for i := range pending {
		answers[i].Receipt, answers[i].Err = e.endSubmit(ctx, pending[i])
	}
	return answers
}
