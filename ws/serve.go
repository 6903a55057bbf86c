package ws

import (
	"context"
	"fmt"

	"github.com/activemessage/activemessage/internal/wire"
)

// serve answers one frame of a client, or keeps it for submit while the next is here
// already. It returns false for what is no JSON object at all; every other fault is
// answered with an error frame.
func (c *connection) serve(data []byte) bool {
	request, err := wire.DecodeFrame(data)
	if err == nil && request.Op == "submit" {
		c.serveSubmit(request, data)
		return true
	}
	c.submit() // answers come in the order of the frames
	if err != nil {
		problem := wire.ProblemFor(err)
		if problem.Code == "malformed_json" {
			return false
		}
		c.replyError(request.Ref, problem)
		return true
	}
	switch request.Op {
	case "subscribe":
		err = c.serveSubscribe(request)
	case "unsubscribe":
		c.serveUnsubscribe(request)
	case "ping":
		c.reply(append(answer("pong", request.Ref), '}'))
	default:
		err = wire.NewProblem("unknown_op", fmt.Sprintf("%.40q is not an op: use subscribe, unsubscribe, submit or ping", request.Op))
	}
	if err != nil {
		c.replyError(request.Ref, wire.ProblemFor(err))
	}
	return true
}

func (c *connection) serveSubscribe(request wire.Frame) error {
	cursor, err := c.subscribe(request.Selector, request.Since)
	if err != nil {
		return err
	}
	b := appendSelector(answer("subscribed", request.Ref), request.Selector)
	b = wire.AppendString(append(b, `,"cursor":`...), cursor.String())
	c.reply(append(b, '}'))
	return nil
}

func (c *connection) serveUnsubscribe(request wire.Frame) {
	c.mu.Lock()
	sub := c.subscription
	c.mu.Unlock()
	if sub != nil {
		sub.Remove(request.Selector)
	}
	c.reply(append(appendSelector(answer("unsubscribed", request.Ref), request.Selector), '}'))
}

func (c *connection) serveSubmit(request wire.Frame, data []byte) {
	submission, err := wire.DecodeSubmission(data, true)
	if err != nil {
		c.submit()
		c.replyError(request.Ref, wire.ProblemFor(err))
		return
	}
	c.refs, c.submissions = append(c.refs, request.Ref), append(c.submissions, submission)
	if !c.hasNext() {
		c.submit()
	}
}

// submit submits what serve has kept and answers each.
func (c *connection) submit() {
	if len(c.refs) == 0 {
		return
	}
	refs, submissions := c.refs, c.submissions
	c.refs, c.submissions = nil, nil // an idle connection holds nothing
	c.beginSubmit()
	var answers []byte
	for i, accepted := range c.server.engine.SubmitAll(context.Background(), submissions) {
		if accepted.Err != nil {
			answers = appendFrame(answers, errorFrame(refs[i], wire.ProblemFor(accepted.Err)))
			continue
		}
		b := wire.AppendReceipt(append(answer("accepted", refs[i]), ','), accepted.Receipt)
		answers = appendFrame(answers, append(b, '}'))
	}
	c.replyFrames(answers)
}

func (c *connection) replyError(ref string, problem *wire.Problem) {
	c.reply(errorFrame(ref, problem))
}

func errorFrame(ref string, problem *wire.Problem) []byte {
	return append(problem.AppendMembers(append(answer("error", ref), ',')), '}')
}
