package api

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/activemessage/activemessage/internal/wire"
)

// parseQuery reads a query whose parameters all have to be known and single; a
// known name that ends in '.' stands for all that begin with it.
func parseQuery(u *url.URL, known ...string) (map[string]string, error) {
	values, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return nil, wire.NewProblem("malformed_request", "the query is not well-formed: escape it by percent-encoding")
	}
	query := make(map[string]string, len(values))
	for name, all := range values {
		isKnown := slices.ContainsFunc(known, func(k string) bool {
			return name == k || strings.HasSuffix(k, ".") && strings.HasPrefix(name, k) && name != k
		})
		switch {
		case !isKnown:
			return nil, badParameter(name, "is not a parameter here: use "+strings.Join(known, ", "))
		case len(all) > 1:
			return nil, badParameter(name, "is given more than once")
		}
		query[name] = all[0]
	}
	return query, nil
}

func badParameter(name, reason string) error {
	return wire.NewProblem("malformed_request", fmt.Sprintf("query parameter %.80q %s", name, reason),
		wire.FieldError{Pointer: "?" + name, Detail: reason})
}
