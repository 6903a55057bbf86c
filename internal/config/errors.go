package config

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// maxErrors bounds how many faults of one file are told.
const maxErrors = 50

// Position is a place in a file; both count from 1. The zero value is no place.
type Position struct {
	// Line counts lines, Column characters.
	Line, Column int
}

// Error is one fault of a file.
type Error struct {
	// File is its name as it was given.
	File string
	// At is where; zero if the fault is the whole file's.
	At Position
	// Key is the path of keys, such as handlers.thumbnail.timeout; "" for the whole.
	Key string
	// Reason says what is wrong and what is allowed.
	Reason string
}

// Error is "am.yaml:7:5: handlers.thumbnail.timeot: unknown key; …".
func (e *Error) Error() string {
	text := e.File
	if e.At.Line > 0 {
		text += fmt.Sprintf(":%d:%d", e.At.Line, e.At.Column)
	}
	if e.Key != "" {
		text += ": " + e.Key
	}
	return text + ": " + e.Reason
}

// Errors are all faults of a file, from its top to its end.
type Errors []*Error

// Error has a line for each.
func (e Errors) Error() string {
	lines := make([]string, len(e))
	for i, fault := range e {
		lines[i] = fault.Error()
	}
	return strings.Join(lines, "\n")
}

// Join returns the faults of errs, which may be nil, an *Error, Errors, or anything
// else, which is kept as it is; nil if there is none.
func Join(errs ...error) error {
	var all Errors
	var others []error
	for _, err := range errs {
		var many Errors
		var one *Error
		switch {
		case err == nil:
		case errors.As(err, &many):
			all = append(all, many...)
		case errors.As(err, &one):
			all = append(all, one)
		default:
			others = append(others, err)
		}
	}
	if err := all.asError(); err != nil {
		others = append([]error{err}, others...)
	}
	if len(others) == 1 {
		return others[0]
	}
	return errors.Join(others...)
}

// asError sorts, drops what is said twice, bounds, and is nil if there is none.
func (e Errors) asError() error {
	if len(e) == 0 {
		return nil
	}
	slices.SortStableFunc(e, func(a, b *Error) int {
		return cmp.Or(cmp.Compare(a.At.Line, b.At.Line), cmp.Compare(a.At.Column, b.At.Column), strings.Compare(a.Key, b.Key), strings.Compare(a.Reason, b.Reason))
	})
	e = slices.CompactFunc(e, func(a, b *Error) bool { return *a == *b })
	if more := len(e) - maxErrors; more > 0 {
		e = append(e[:maxErrors:maxErrors], &Error{File: e[0].File, Reason: fmt.Sprintf("%d more faults", more)})
	}
	return e
}
