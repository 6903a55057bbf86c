package api

import (
	"errors"
	"net/url"
	"slices"
	"strings"

	"github.com/activemessage/activemessage/engine"
	"github.com/activemessage/activemessage/internal/wire"
)

// parseQuery reads a query whose parameters all have to be known and single; a
// known name that ends in '.' or '[' stands for all that begin with it.
func parseQuery(u *url.URL, known ...string) (map[string]string, error) {
	values, err := wire.ParseQuery(u)
	if err != nil {
		return nil, err
	}
	query := make(map[string]string, len(values))
	for name, all := range values {
		isKnown := slices.ContainsFunc(known, func(k string) bool {
			if strings.HasSuffix(k, ".") || strings.HasSuffix(k, "[") {
				return strings.HasPrefix(name, k) && name != k
			}
			return name == k
		})
		switch {
		case !isKnown:
			return nil, wire.BadParameter(name, "is not a parameter here: use "+strings.Join(slices.DeleteFunc(slices.Clone(known), func(k string) bool { return strings.HasSuffix(k, "[") }), ", "))
		case len(all) > 1:
			return nil, wire.BadParameter(name, "is given more than once")
		}
		query[name] = all[0]
	}
	return query, nil
}

// asQueryProblem makes an invalid argument of the engine a fault of the query
// parameter of its name.
func asQueryProblem(err error) error {
	if bad, ok := errors.AsType[*engine.InvalidError](err); ok {
		return wire.BadParameter(bad.Field, bad.Reason)
	}
	return err
}
