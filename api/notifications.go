package api

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/munnerz/goautoneg"

	"github.com/activemessage/activemessage/engine"
	"github.com/activemessage/activemessage/internal/wire"
)

const (
	typeEventStream = "text/event-stream"
	typeJSON        = "application/json"
	typeEventBatch  = "application/cloudevents-batch+json"
)

// readNotifications answers with what the log has and will have: an event stream,
// or, for who asks for JSON, a page.
func (s *server) readNotifications(w http.ResponseWriter, r *http.Request) error {
	media := negotiate(r.Header["Accept"])
	w.Header().Add("Vary", "Accept")
	switch media {
	case typeEventStream:
		return s.streamNotifications(w, r)
	case typeJSON, typeEventBatch:
		return s.pageNotifications(w, r, media)
	}
	return wire.NewProblem("not_acceptable", "use Accept: "+typeEventStream+", "+typeJSON+" or "+typeEventBatch)
}

// negotiate picks an answer's media type (RFC 9110, section 12.5.1); "" if none will
// do.
func negotiate(lines []string) string {
	offers := []string{typeEventStream, typeJSON, typeEventBatch}
	accept := strings.Join(lines, ",")
	if strings.TrimSpace(accept) == "" {
		return typeEventStream
	}
	for _, clause := range goautoneg.ParseAccept(accept) {
		if clause.Q == 0 { // not acceptable, which the package does not know
			offers = slices.DeleteFunc(offers, func(offer string) bool { return offer == clause.Type+"/"+clause.SubType })
		}
	}
	return goautoneg.Negotiate(accept, offers)
}

const (
	defaultNotifications = 100
	maxNotifications     = 1000
)

// pageNotifications answers with a part of the log: from since on, or from the
// oldest kept.
func (s *server) pageNotifications(w http.ResponseWriter, r *http.Request, media string) error {
	query, err := wire.ParseQuery(r.URL)
	if err != nil {
		return err
	}
	selectors, since, err := wire.ReadSelectors(query, "limit")
	if err != nil {
		return err
	}
	limit, err := readLimit(query["limit"])
	if err != nil {
		return err
	}
	if since.IsZero() {
		since = engine.CursorAt(0)
	}
	sub, err := wire.SubscribeAll(s.engine, selectors, since)
	if err != nil {
		return err
	}
	defer sub.Close()
	page, err := readPage(sub, limit)
	if err != nil {
		return err
	}
	if len(page.notifications) == limit {
		setHeader(w, "Link", "<"+nextPage(r.URL, "since", page.cursor.String())+`>; rel="next"`)
	}
	setHeader(w, "Cache-Control", "no-store")
	if media == typeEventBatch {
		return writeBody(w, http.StatusOK, typeEventBatch, page.appendEvents(nil))
	}
	return writeJSON(w, http.StatusOK, append(page.appendJSON(nil), '\n'))
}

// readLimit reads a page's size from the values of its parameter.
func readLimit(values []string) (int, error) {
	switch len(values) {
	case 0:
		return defaultNotifications, nil
	case 1:
	default:
		return 0, wire.BadParameter("limit", "is given more than once")
	}
	limit, err := strconv.Atoi(values[0])
	if err != nil || limit < 1 || limit > maxNotifications {
		return 0, wire.BadParameter("limit", fmt.Sprintf("%.40q is out of range: use 1 to %d", values[0], maxNotifications))
	}
	return limit, nil
}

// page is a part of the log.
type page struct {
	gap           *engine.Gap
	notifications []engine.Notification
	cursor        engine.Cursor
}

// readPage reads up to limit notifications of those there are.
func readPage(sub *engine.Subscription, limit int) (page, error) {
	var p page
	for len(p.notifications) < limit {
		// A read without a match is not the end yet: the position tells.
		before := sub.Cursor()
		d, err := sub.Poll(make([]engine.Notification, 0, limit-len(p.notifications)))
		if err != nil && !errors.Is(err, engine.ErrClosed) {
			return p, err
		}
		switch {
		case d.Gap == nil:
		case p.gap == nil:
			p.gap = d.Gap
		default: // the log shrank while it was read
			p.gap.To, p.gap.Cursor = d.Gap.To, d.Gap.Cursor
		}
		p.notifications = append(p.notifications, d.Notifications...)
		if d.Empty() && sub.Cursor() == before {
			break
		}
	}
	p.cursor = sub.Cursor()
	return p, nil
}

func (p *page) appendJSON(b []byte) []byte {
	b = append(b, `{"notifications":[`...)
	for i := range p.notifications {
		if i > 0 {
			b = append(b, ',')
		}
		b = wire.AppendNotification(b, &p.notifications[i])
	}
	b = wire.AppendString(append(b, `],"cursor":`...), p.cursor.String())
	if p.gap != nil {
		b = wire.AppendGap(append(b, `,"gap":`...), p.gap)
	}
	return append(b, '}')
}

// appendEvents appends the page as a batch of CloudEvents; a gap is an event too.
func (p *page) appendEvents(b []byte) []byte {
	b = append(b, '[')
	if p.gap != nil {
		b = wire.AppendGapEvent(b, p.gap)
	}
	for i := range p.notifications {
		if len(b) > 1 {
			b = append(b, ',')
		}
		b = wire.AppendCloudEvent(b, &p.notifications[i])
	}
	return append(b, ']')
}
