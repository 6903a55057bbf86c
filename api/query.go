package api

import (
	"net/url"
	"slices"
	"strings"

	"github.com/activemessage/activemessage/internal/wire"
)

// parseQuery reads a query whose parameters all have to be known and single; a
// known name that ends in '.' stands for all that begin with it.
func parseQuery(u *url.URL, known ...string) (map[string]string, error) {
	values, err := wire.ParseQuery(u)
	if err != nil {
		return nil, err
	}
	query := make(map[string]string, len(values))
	for name, all := range values {
		isKnown := slices.ContainsFunc(known, func(k string) bool {
			return name == k || strings.HasSuffix(k, ".") && strings.HasPrefix(name, k) && name != k
		})
		switch {
		case !isKnown:
			return nil, wire.BadParameter(name, "is not a parameter here: use "+strings.Join(known, ", "))
		case len(all) > 1:
			return nil, wire.BadParameter(name, "is given more than once")
		}
		query[name] = all[0]
	}
	return query, nil
}
