package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/activemessage/activemessage/engine"
)

// kept is a kind of thing that retention bounds, with its default.
type kept struct {
	name string
	keep *engine.Keep
}

// kindsOf lists what r bounds, by the names that the flags have.
func kindsOf(r *engine.Retention) []kept {
	return []kept{
		{"succeeded", &r.Succeeded},
		{"failed", &r.Failed},
		{"cancelled", &r.Cancelled},
		{"expired", &r.Expired},
		{"log", &r.Log},
	}
}

// defaultRetention keeps what went well for a day, and what did not for a week.
func defaultRetention() engine.Retention {
	day, week := engine.Keep{Age: 24 * time.Hour, Bytes: 1 << 30}, engine.Keep{Age: 7 * 24 * time.Hour, Bytes: 1 << 30}
	return engine.Retention{Succeeded: day, Failed: week, Cancelled: week, Expired: week, Log: day}
}

// retention is the default with what the flags say.
func (c Config) retention() (engine.Retention, error) {
	r := defaultRetention()
	ages, sizes := 0, 0
	for _, kind := range kindsOf(&r) {
		if age, given := c.RetainAge[kind.name]; given {
			kind.keep.Age = age
			ages++
		}
		if bytes, given := c.RetainBytes[kind.name]; given {
			kind.keep.Bytes = bytes
			sizes++
		}
		if kind.keep.Age < 0 || kind.keep.Bytes < 0 {
			return r, fmt.Errorf("--retain-age and --retain-bytes: %s must not be negative", kind.name)
		}
	}
	if ages < len(c.RetainAge) || sizes < len(c.RetainBytes) {
		return r, fmt.Errorf("--retain-age and --retain-bytes are for %s, separated by ';': another name is given", strings.Join(retentionNames(), ", "))
	}
	return r, nil
}

// retentionNames are the names that the flags have.
func retentionNames() []string {
	var all []string
	for _, kind := range kindsOf(&engine.Retention{}) {
		all = append(all, kind.name)
	}
	return all
}

// ageWord and bytesWord are the sides of a bound as the flags have them.
func ageWord(k engine.Keep) string   { return strconv.Itoa(int(k.Age.Hours())) + "h" }
func bytesWord(k engine.Keep) string { return strconv.FormatInt(k.Bytes, 10) }

// retentionWords is one side of the default as a flag has it.
func retentionWords(side func(engine.Keep) string) string {
	r := defaultRetention()
	var all []string
	for _, kind := range kindsOf(&r) {
		all = append(all, kind.name+"="+side(*kind.keep))
	}
	return strings.Join(all, ";")
}
