package config

import (
	"encoding/json"
	"fmt"
	"math/big"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
	"golang.org/x/text/language"
	"golang.org/x/text/message"
)

// secretWords are for whoever writes a secret where none may stand.
const secretWords = "secrets do not stand in this file: name an environment variable or a file that has it, as secret_env and secret_file of a webhook do"

// describe puts one fault into words; it is false for one that only has causes, which
// are told instead.
func (d *document) describe(e *jsonschema.ValidationError) bool {
	where, keys := theSchema().at(e.SchemaURL), e.InstanceLocation
	switch k := e.ErrorKind.(type) {
	case *kind.Schema, *kind.Group, *kind.AllOf, *kind.AnyOf, *kind.Reference:
		return false
	case *kind.AdditionalProperties:
		d.unknownKeys(where, keys, k.Properties)
	case *kind.PropertyNames:
		d.addAtKey(with(ofNames(e.SchemaURL), k.Property), words(where, "is no name that is allowed here"))
	case *kind.Required:
		d.addAtKey(keys, "lacks "+strings.Join(k.Missing, ", "))
	case *kind.DependentRequired:
		d.addAtKey(with(keys, k.Prop), "is for "+strings.Join(k.Missing, ", ")+" only")
	case *kind.OneOf:
		d.addAtKey(keys, oneOf(where, k.Subschemas))
	case *kind.Not:
		not, _ := where["not"].(map[string]any)
		d.addAtKey(keys, words(not, words(where, "is not allowed")))
	case *kind.MinItems, *kind.MinLength:
		d.addOnce(keys, "is empty")
	case *kind.MaxItems:
		d.addOnce(keys, fmt.Sprintf("has %d elements: %d is the most", k.Got, k.Want))
	case *kind.MaxLength:
		d.addOnce(keys, fmt.Sprintf("has %d characters: %d is the most", k.Got, k.Want))
	case *kind.MaxProperties:
		d.addOnce(keys, fmt.Sprintf("has %d keys: %d is the most", k.Got, k.Want))
	case *kind.Type:
		d.addOnce(keys, d.wrongType(where, keys, k.Want))
	case *kind.Enum:
		d.addOnce(keys, wrongChoice(k))
	case *kind.Minimum:
		d.addOnce(keys, outOfRange(where, k.Got))
	case *kind.Maximum:
		d.addOnce(keys, outOfRange(where, k.Got))
	case *kind.Pattern:
		d.addOnce(keys, shown(keys, k.Got)+words(where, "is not as it must be"))
	default:
		d.addOnce(keys, e.ErrorKind.LocalizedString(message.NewPrinter(language.English)))
	}
	return true
}

// ofNames returns the path of the keys that a schema's propertyNames is about, from the
// schema's location. That of the fault is no good: the library hands out a slice that it
// goes on writing to.
func ofNames(location string) []string {
	_, pointer, _ := strings.Cut(location, "#")
	var keys []string
	for inside := range strings.SplitSeq(pointer, "/properties/") {
		if key, _, _ := strings.Cut(inside, "/"); key != "" {
			keys = append(keys, key)
		}
	}
	return keys
}

// with returns the path of what is inside.
func with(keys []string, key string) []string { return append(slices.Clone(keys), key) }

// words returns those that a schema has for its faults, or others.
func words(where map[string]any, others string) string {
	for _, keyword := range []string{"errorMessage", "patternErrorMessage"} {
		if text, has := where[keyword].(string); has {
			return text
		}
	}
	return others
}

// shown begins a fault with the value, unless it may be a secret, or has one, as a URL may
// that was written where it does not belong.
func shown(keys []string, value any) string {
	if len(keys) > 0 && keys[len(keys)-1] == "webhook" {
		return ""
	}
	if text, is := value.(string); is && slices.ContainsFunc([]string{"://", "whsec_", "whsk_"}, func(mark string) bool { return strings.Contains(text, mark) }) {
		return ""
	}
	if slices.ContainsFunc(keys, func(key string) bool {
		return strings.HasPrefix(key, "secret") || key == "env" || strings.HasSuffix(key, "url")
	}) {
		return ""
	}
	text, err := json.Marshal(value)
	if err != nil || len(text) > 60 {
		return ""
	}
	return string(text) + ": "
}

// unknownKeys tells of each what there is instead.
func (d *document) unknownKeys(where map[string]any, keys, unknown []string) {
	properties, _ := where["properties"].(map[string]any)
	var allowed []string
	for name, property := range properties {
		if hidden, _ := property.(map[string]any)["doNotSuggest"].(bool); !hidden {
			allowed = append(allowed, name)
		}
	}
	slices.Sort(allowed)
	for _, key := range unknown {
		reason := "unknown key; allowed: " + strings.Join(allowed, ", ")
		if len(allowed) == 0 {
			reason = "unknown key; none is allowed here: write {}"
		}
		if strings.Contains(key, "secret") || strings.Contains(key, "password") || strings.Contains(key, "token") {
			reason += "; " + secretWords
		} else if near := nearest(strings.ReplaceAll(key, "-", "_"), allowed); near != "" {
			reason += "; did you mean " + near + "?"
		}
		d.addAtKey(with(keys, key), reason)
	}
}

// oneOf tells which of the keys were to be given, and which were.
func oneOf(where map[string]any, given []int) string {
	choices, _ := where["oneOf"].([]any)
	names := make([]string, len(choices))
	for i, choice := range choices {
		required, _ := choice.(map[string]any)["required"].([]any)
		names[i] = fmt.Sprint(required...)
	}
	reason := "needs exactly one of " + strings.Join(names, ", ") + ": "
	if len(given) < 2 {
		return reason + "there is none"
	}
	return reason + "there are " + names[given[0]] + " and " + names[given[1]]
}

// wrongType tells what the value is and what it must be.
func (d *document) wrongType(where map[string]any, keys, want []string) string {
	text := slices.Contains(want, "string")
	expected := expectation(where, want)
	switch value := lookup(d.root, keys).(type) {
	case nil:
		return "is empty: " + expected
	case map[string]any:
		return "has keys of its own: " + expected
	case []any:
		return "is a list: " + expected
	case string:
		return shown(keys, value) + "is text: " + expected
	case bool:
		if text {
			return fmt.Sprintf("%t is true or false to YAML: put it in quotes, or %s", value, expected)
		}
		return fmt.Sprintf("is %t: %s", value, expected)
	default:
		if text && where["patternErrorMessage"] == nil {
			return fmt.Sprintf("%v is a number to YAML: put it in quotes", value)
		}
		return fmt.Sprintf("%v is a number: %s", value, expected)
	}
}

// expectation says what a schema wants.
func expectation(where map[string]any, want []string) string {
	if text, has := where["patternErrorMessage"].(string); has {
		return text
	}
	if enum, has := where["enum"].([]any); has {
		return "use " + strings.Join(texts(enum), ", ")
	}
	all := make([]string, len(want))
	for i, name := range want {
		switch name {
		case "integer":
			all[i] = rangeOf(where)
		case "array":
			all[i] = "a list, such as [a, b]"
		case "object":
			all[i] = "keys with values, or {}"
		case "boolean":
			all[i] = "true or false"
		default:
			all[i] = "text"
		}
	}
	return "use " + strings.Join(all, " or ")
}

func texts(values []any) []string {
	all := make([]string, len(values))
	for i, value := range values {
		all[i] = fmt.Sprint(value)
	}
	return all
}

func wrongChoice(k *kind.Enum) string {
	choices := texts(k.Want)
	reason := fmt.Sprintf("%.40q is not one of %s", fmt.Sprint(k.Got), strings.Join(choices, ", "))
	if near := nearest(strings.ToLower(fmt.Sprint(k.Got)), choices); near != "" {
		reason += "; did you mean " + near + "?"
	}
	return reason
}

func outOfRange(where map[string]any, got *big.Rat) string {
	return strings.TrimSuffix(got.FloatString(0), ".0") + " is out of range: use " + rangeOf(where)
}

// rangeOf says which whole numbers a schema allows.
func rangeOf(where map[string]any) string {
	return fmt.Sprintf("a whole number from %v to %v", where["minimum"], where["maximum"])
}

// nearest returns the name that differs least, if a typing error explains it.
func nearest(key string, names []string) string {
	best, least := "", 1+len(key)/3
	for _, name := range names {
		if n := distance(key, name); n <= least {
			if n < least || best == "" {
				best, least = name, n
			}
		}
	}
	return best
}

// distance is Levenshtein's: how many characters to put in, take out or change.
func distance(a, b string) int {
	if max(len(a), len(b)) > 64 {
		return 64
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j+1]+1, row[j]+1)
		}
	}
	return row[len(b)]
}
