package wire

import (
	"errors"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/activemessage/activemessage/engine"
)

// Never is how a policy's timeout is written that never passes.
const Never = "never"

// policyPatch is what may be changed of a type's policy.
type policyPatch struct {
	Paused      patched[bool]          `json:"paused"`
	Concurrency patched[int]           `json:"concurrency"`
	QueueLimit  patched[int]           `json:"queue_limit"`
	QueueBytes  patched[int64]         `json:"queue_bytes"`
	Timeout     patched[*string]       `json:"timeout"`
	Grace       patched[*string]       `json:"grace"`
	MaxAttempts patched[int]           `json:"max_attempts"`
	MaxLost     patched[int]           `json:"max_lost"`
	Backoff     patched[*backoffPatch] `json:"backoff"`
}

type backoffPatch struct {
	Initial patched[*string] `json:"initial"`
	Max     patched[*string] `json:"max"`
}

// patched is a member of a merge patch: absent, or a value, which null makes zero.
type patched[T any] struct {
	given bool
	value T
}

// UnmarshalJSONFrom is called for a member that is there, also for null.
func (p *patched[T]) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	p.given = true
	return json.UnmarshalDecode(d, &p.value)
}

func (p patched[T]) change(into *T) {
	if p.given {
		*into = p.value
	}
}

// DecodePolicyPatch reads the change of a policy: the members to change, as a JSON
// Merge Patch (RFC 7396); null, or 0, brings a default back. The error is a *Problem.
func DecodePolicyPatch(body []byte) (func(*engine.Policy), error) {
	var patch policyPatch
	if err := decodePolicy(body, &patch); err != nil {
		return nil, err
	}
	var timeout, grace, initial, longest patched[time.Duration]
	for _, member := range []struct {
		pointer string
		text    patched[*string]
		into    *patched[time.Duration]
	}{
		{"/timeout", patch.Timeout, &timeout},
		{"/grace", patch.Grace, &grace},
		{"/backoff/initial", patch.backoff().Initial, &initial},
		{"/backoff/max", patch.backoff().Max, &longest},
	} {
		d, reason := policyDuration(member.text.value, member.pointer == "/timeout")
		if reason != "" {
			return nil, invalidPolicy(member.pointer, reason)
		}
		*member.into = patched[time.Duration]{member.text.given, d}
	}
	return func(p *engine.Policy) {
		patch.Paused.change(&p.Paused)
		patch.Concurrency.change(&p.Concurrency)
		patch.QueueLimit.change(&p.QueueLimit)
		patch.QueueBytes.change(&p.QueueBytes)
		timeout.change(&p.Timeout)
		grace.change(&p.Grace)
		patch.MaxAttempts.change(&p.MaxAttempts)
		patch.MaxLost.change(&p.MaxLost)
		initial.change(&p.Backoff.Initial)
		longest.change(&p.Backoff.Max)
	}, nil
}

// policyDuration reads a policy's duration; nil is the default. The reason is "" or
// says what is wrong with it.
func policyDuration(text *string, mayBeNever bool) (d time.Duration, reason string) {
	if text == nil {
		return 0, ""
	}
	if mayBeNever && *text == Never {
		return -1, ""
	}
	d, err := time.ParseDuration(*text)
	if err != nil || d < 0 {
		return 0, notDuration(*text)
	}
	return d, ""
}

// backoff returns the patch of the backoff: null brings both its members back.
func (p *policyPatch) backoff() *backoffPatch {
	if p.Backoff.value == nil {
		return &backoffPatch{patched[*string]{given: p.Backoff.given}, patched[*string]{given: p.Backoff.given}}
	}
	return p.Backoff.value
}

func decodePolicy(body []byte, patch *policyPatch) error {
	err := decode(body, patch, policyMembers, false)
	if p, ok := errors.AsType[*Problem](err); ok && p.Code == "invalid_message" {
		return invalidPolicy(p.Errors[0].Pointer, p.Errors[0].Detail)
	}
	return err
}

const policyMembers = "paused, concurrency, queue_limit, queue_bytes, timeout, grace, max_attempts, max_lost, backoff"

// PolicyProblem is the problem of a policy that the engine refused.
func PolicyProblem(err error) error {
	if bad, ok := errors.AsType[*engine.InvalidError](err); ok {
		return invalidPolicy("/"+bad.Field, bad.Reason)
	}
	return err
}

func invalidPolicy(pointer, reason string) *Problem {
	p := InvalidAt(pointer, reason)
	return NewProblem("invalid_policy", p.Detail, p.Errors...)
}
