package wire

import (
	"errors"
	"fmt"
	"time"

	"github.com/activemessage/activemessage/engine"
)

// Never is how a policy's timeout is written that never passes.
const Never = "never"

// policyPatch is what may be changed of a type's policy.
type policyPatch struct {
	Paused      *bool         `json:"paused"`
	Concurrency *int          `json:"concurrency"`
	QueueLimit  *int          `json:"queue_limit"`
	QueueBytes  *int64        `json:"queue_bytes"`
	Timeout     *string       `json:"timeout"`
	Grace       *string       `json:"grace"`
	MaxAttempts *int          `json:"max_attempts"`
	Backoff     *backoffPatch `json:"backoff"`
}

type backoffPatch struct {
	Initial *string `json:"initial"`
	Max     *string `json:"max"`
}

// DecodePolicyPatch reads the change of a policy: the members to change, as a JSON
// Merge Patch (RFC 7396); 0 brings a default back. The error is a *Problem.
func DecodePolicyPatch(body []byte) (func(*engine.Policy), error) {
	var patch policyPatch
	if err := decodePolicy(body, &patch); err != nil {
		return nil, err
	}
	var timeout, grace, initial, longest *time.Duration
	for _, member := range []struct {
		pointer string
		text    *string
		into    **time.Duration
	}{
		{"/timeout", patch.Timeout, &timeout},
		{"/grace", patch.Grace, &grace},
		{"/backoff/initial", patch.backoff().Initial, &initial},
		{"/backoff/max", patch.backoff().Max, &longest},
	} {
		if member.text == nil {
			continue
		}
		d, err := time.ParseDuration(*member.text)
		switch never := member.pointer == "/timeout" && *member.text == Never; {
		case never:
			d = -1
		case err != nil || d < 0:
			return nil, invalidPolicy(member.pointer, fmt.Sprintf("%.40q is not a duration: write a number and a unit, such as 500ms, 30s or 1h30m", *member.text))
		}
		*member.into = &d
	}
	return func(p *engine.Policy) {
		change(&p.Paused, patch.Paused)
		change(&p.Concurrency, patch.Concurrency)
		change(&p.QueueLimit, patch.QueueLimit)
		change(&p.QueueBytes, patch.QueueBytes)
		change(&p.Timeout, timeout)
		change(&p.Grace, grace)
		change(&p.MaxAttempts, patch.MaxAttempts)
		change(&p.Backoff.Initial, initial)
		change(&p.Backoff.Max, longest)
	}, nil
}

func (p *policyPatch) backoff() *backoffPatch {
	if p.Backoff == nil {
		return &backoffPatch{}
	}
	return p.Backoff
}

func change[T any](into *T, to *T) {
	if to != nil {
		*into = *to
	}
}

func decodePolicy(body []byte, patch *policyPatch) error {
	err := decode(body, patch, policyMembers, false)
	if p, ok := errors.AsType[*Problem](err); ok && p.Code == "invalid_message" {
		return invalidPolicy(p.Errors[0].Pointer, p.Errors[0].Detail)
	}
	return err
}

const policyMembers = "paused, concurrency, queue_limit, queue_bytes, timeout, grace, max_attempts, backoff"

// PolicyProblem is the problem of a policy that the engine refused.
func PolicyProblem(err error) error {
	if bad, ok := errors.AsType[*engine.InvalidError](err); ok {
		return invalidPolicy("/"+bad.Field, bad.Reason)
	}
	return err
}

func invalidPolicy(pointer, reason string) *Problem {
	p := invalid(pointer, reason)
	return NewProblem("invalid_policy", p.Detail, p.Errors...)
}
