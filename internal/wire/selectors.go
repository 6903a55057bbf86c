package wire

import (
	"errors"
	"net/url"
	"slices"
	"strings"

	"github.com/activemessage/activemessage/engine"
)

// ReadSelectors reads from a query what to follow, and from where: the parameters
// subscribe, message_id and message_type, each as often as wanted, and since, once.
// Other parameters are refused, except those in more. The error is a *Problem.
func ReadSelectors(query url.Values, more ...string) (selectors []engine.Selector, since engine.Cursor, err error) {
	for name, values := range query {
		for _, value := range values {
			switch name {
			case "subscribe":
				selectors = append(selectors, engine.Selector{ResponseNotification: value})
			case "message_type":
				selectors = append(selectors, engine.Selector{MessageType: value})
			case "message_id":
				id, err := engine.ParseID(value)
				if err != nil {
					return nil, since, BadParameter(name, reasonOf(err))
				}
				selectors = append(selectors, engine.Selector{MessageID: id})
			case "since":
				if len(values) > 1 {
					return nil, since, BadParameter(name, "is given more than once")
				}
				if since, err = engine.ParseCursor(value); err != nil {
					return nil, since, BadParameter(name, reasonOf(err))
				}
			default:
				if !slices.Contains(more, name) {
					known := strings.Join(append([]string{"subscribe, message_id, message_type, since"}, more...), ", ")
					return nil, since, BadParameter(name, "is not a parameter here: use "+known)
				}
			}
		}
	}
	return selectors, since, nil
}

// reasonOf returns what is wrong with an argument, without its name.
func reasonOf(err error) string {
	if bad, ok := errors.AsType[*engine.InvalidError](err); ok {
		return bad.Reason
	}
	return err.Error()
}

// SubscribeAll follows everything that the selectors pick, from since on; without a
// selector, everything there is. A bad selector or position is a fault of the
// query. The error is a *Problem.
func SubscribeAll(e *engine.Engine, selectors []engine.Selector, since engine.Cursor) (*engine.Subscription, error) {
	if len(selectors) == 0 {
		selectors = []engine.Selector{{ResponseNotification: "*"}}
	}
	sub, err := e.Subscribe(selectors[0], since)
	if err != nil {
		return nil, asRequestProblem(err)
	}
	for _, sel := range selectors[1:] {
		if err := sub.Add(sel, engine.Cursor{}); err != nil {
			sub.Close()
			return nil, asRequestProblem(err)
		}
	}
	return sub, nil
}

// asRequestProblem makes an invalid selector a fault of the request's query.
func asRequestProblem(err error) error {
	if bad, ok := errors.AsType[*engine.InvalidError](err); ok && bad.Field == "selector" {
		return NewProblem("malformed_request", "a selector is empty: give subscribe, message_id and message_type values")
	}
	p := ProblemFor(err)
	if p.Code == "invalid_message" {
		return NewProblem("malformed_request", p.Detail)
	}
	return p
}
