package storetest

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/activemessage/activemessage/engine"
)

// Diff compares what two stores returned, or one store and a test: a line for each
// field in which they differ, "" if they do not. Times are compared to the microsecond
// and as instants; nil and empty are the same; errors' causes are left out.
func Diff(got, want any) string {
	if reflect.DeepEqual(got, want) {
		return "" // as most are; the rest takes long
	}
	g, w := make(map[string]string), make(map[string]string)
	describe(g, "", reflect.ValueOf(got))
	describe(w, "", reflect.ValueOf(want))
	paths := slices.Sorted(maps.Keys(g))
	for path := range w {
		if _, both := g[path]; !both {
			paths = append(paths, path)
		}
	}
	var diff strings.Builder
	for _, path := range paths {
		if g[path] != w[path] {
			fmt.Fprintf(&diff, "%s\n\t- %s\n\t+ %s\n", path, g[path], w[path])
		}
	}
	return diff.String()
}

// describe writes a line into lines for all in v that is not zero.
func describe(lines map[string]string, path string, v reflect.Value) {
	if !v.IsValid() {
		return
	}
	if leaf, ok := describeLeaf(v); ok {
		if leaf != "" {
			lines[path] = leaf
		}
		return
	}
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if !v.IsNil() {
			lines[path] = "not nil"
			describe(lines, path, v.Elem())
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if field := v.Type().Field(i); field.IsExported() && field.Name != "Cause" {
				describe(lines, path+"."+field.Name, v.Field(i))
			}
		}
	case reflect.Slice, reflect.Array:
		for i := range v.Len() {
			describe(lines, fmt.Sprintf("%s[%d]", path, i), v.Index(i))
		}
		if v.Len() > 0 {
			lines[path+".len"] = fmt.Sprint(v.Len())
		}
	case reflect.Map:
		for _, key := range v.MapKeys() {
			lines[fmt.Sprintf("%s[%v]", path, key)] = "there"
			describe(lines, fmt.Sprintf("%s[%v].", path, key), v.MapIndex(key))
		}
	default:
		if !v.IsZero() {
			lines[path] = fmt.Sprintf("%v", v.Interface())
		}
	}
}

// describeLeaf has the types that are not looked into.
func describeLeaf(v reflect.Value) (string, bool) {
	switch x := v.Interface().(type) {
	case time.Time:
		if x.IsZero() {
			return "", true
		}
		return x.UTC().Truncate(time.Microsecond).Format(time.RFC3339Nano), true
	case engine.ID:
		return x.String(), true
	case []byte:
		if len(x) > 64 {
			return fmt.Sprintf("%d bytes, %x", len(x), sha256.Sum256(x)), true
		}
		return strings.TrimPrefix(fmt.Sprintf("%x", x), "0x"), true
	}
	return "", false
}
