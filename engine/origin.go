package engine

import (
	"strings"
)

const (
	traceparentLength  = 55
	maxTracestateBytes = 512
	lowerHex           = "0123456789abcdef"

	// maxAttributeBytes bounds an attribute of a CloudEvent.
	maxAttributeBytes = 1024
)

// ValidTraceparent reports whether s is a traceparent header's value (W3C Trace
// Context Level 1, section 3.2).
func ValidTraceparent(s string) bool {
	if len(s) < traceparentLength || len(s) > maxNameBytes || s[2] != '-' || s[35] != '-' || s[52] != '-' {
		return false
	}
	version, trace, parent, flags := s[:2], s[3:35], s[36:52], s[53:55]
	for _, part := range []string{version, trace, parent, flags} {
		if strings.Trim(part, lowerHex) != "" {
			return false
		}
	}
	switch {
	case version == "ff", strings.Trim(trace, "0") == "", strings.Trim(parent, "0") == "":
		return false
	case len(s) > traceparentLength:
		return version != "00" && s[traceparentLength] == '-'
	}
	return true
}

// ValidTracestate reports whether s can be a tracestate header's value: at most
// 512 printable characters (section 3.3). What they mean is the vendors' business.
func ValidTracestate(s string) bool {
	for _, c := range []byte(s) {
		if c < ' ' || c > '~' {
			return false
		}
	}
	return len(s) <= maxTracestateBytes
}

func (o *Origin) validate() error {
	if o.Traceparent != "" && !ValidTraceparent(o.Traceparent) {
		return &InvalidError{Field: "traceparent", Reason: "is not a W3C traceparent: 00-{32 hex digits}-{16 hex digits}-{2 hex digits}"}
	}
	if !ValidTracestate(o.Tracestate) {
		return &InvalidError{Field: "tracestate", Reason: "is not a W3C tracestate: at most 512 printable ASCII characters"}
	}
	if o.CloudEvent == nil {
		return nil
	}
	for _, attribute := range o.CloudEvent.attributes() {
		if err := validateLine(attribute.name, attribute.value, maxAttributeBytes); err != nil {
			return err
		}
	}
	if _, err := o.CloudEvent.Time.MarshalText(); err != nil {
		return &InvalidError{Field: "time", Reason: "is not a time of RFC 3339"}
	}
	return nil
}

// size is what the origin holds.
func (o *Origin) size() int64 {
	size := len(o.Traceparent) + len(o.Tracestate)
	if o.CloudEvent != nil {
		for _, attribute := range o.CloudEvent.attributes() {
			size += len(attribute.value)
		}
	}
	return int64(size)
}

type attribute struct{ name, value string }

func (c *CloudEvent) attributes() []attribute {
	return []attribute{{"id", c.ID}, {"source", c.Source}, {"type", c.Type}, {"subject", c.Subject}}
}
