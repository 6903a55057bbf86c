package activemessage_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/activemessage/activemessage"

// sourceFile is one Go file of the module.
type sourceFile struct {
	*ast.File
	name   string // from the root, with slashes
	folder string // "." is the root
	test   bool
}

func (f sourceFile) imports() []string {
	var all []string
	for _, spec := range f.Imports {
		if p, err := strconv.Unquote(spec.Path.Value); err == nil {
			all = append(all, p)
		}
	}
	return all
}

// sources parses all Go files of the module.
func sources(t *testing.T) []sourceFile {
	t.Helper()
	var all []sourceFile
	err := filepath.WalkDir(".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if base := entry.Name(); name != "." && (base[0] == '.' || base[0] == '_' || base == "testdata") {
				return filepath.SkipDir
			}
			return nil
		}
		if filepath.Ext(name) != ".go" {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
		if err != nil {
			return err
		}
		name = filepath.ToSlash(name)
		all = append(all, sourceFile{file, name, path.Dir(name), strings.HasSuffix(name, "_test.go")})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// arrows says which packages of the module a folder's code may import. A folder
// that is not listed may import none.
func arrows() map[string][]string {
	return map[string][]string{
		"api":                {"engine", "engine/remote", "internal/wire"},
		"ws":                 {"engine", "engine/remote", "internal/wire"},
		"handlers":           {"engine"},
		"handlers/exec":      {"engine"},
		"handlers/webhook":   {"engine"},
		"engine/memstore":    {"engine"},
		"engine/storetest":   {"engine", "engine/memstore"},
		"engine/remote":      {"engine"},
		"internal/wire":      {"engine", "engine/remote"},
		"internal/metrics":   {"engine", "engine/remote"},
		"internal/docs":      {"internal/wire"},
		"internal/config":    {".", "engine"},
		"internal/tracing":   {"engine"},
		"engine/sqlitestore": {"engine"},
		"engine/enginetest":  {"engine"},
		"engine/middleware":  {"engine"},
		"client":             {},
		"client/worker":      {},
		"client/reverse":     {"client/worker"},
		"internal/contract":  {"."},
		"internal/toolchain": {},
		"cmd/server":         {".", "engine", "engine/remote", "engine/sqlitestore", "api", "ws", "handlers", "handlers/exec", "handlers/webhook", "internal/config", "internal/docs", "internal/metrics", "internal/tracing"},
	}
}

// doors says which folders alone, with those in them, may import a third party's
// package. There is one, unless a server and a client need the same.
func doors() map[string]string {
	return map[string]string{
		"github.com/go-chi/chi":              "api",
		"github.com/coder/websocket":         "ws client/worker",
		"github.com/lmittmann/tint":          "cmd/server",
		"github.com/alecthomas/kong":         "cmd/server",
		"github.com/prometheus":              "internal/metrics",
		"github.com/go-json-experiment/json": "internal/wire",
		"encoding/json/v2":                   "internal/wire",
		"encoding/json/jsontext":             "internal/wire",
		"github.com/pb33f":                   "internal/contract",
		"github.com/oapi-codegen":            "client",
		"go.opentelemetry.io":                "internal/tracing engine/middleware",
		"golang.org/x/time":                  "engine/middleware",
		"go.yaml.in/yaml":                    "internal/config",
		"github.com/santhosh-tekuri":         "internal/config",
		"github.com/munnerz/goautoneg":       "api",
		"github.com/rs/cors":                 "api",
		"github.com/google/jsonschema-go":    "api",
		"github.com/chromedp":                "internal/toolchain",
		"github.com/ncruces/go-sqlite3":      "engine/sqlitestore",
		"github.com/gofrs/flock":             "engine/sqlitestore",
		"github.com/failsafe-go":             "handlers/webhook",
		"code.dny.dev/ssrf":                  "handlers/webhook",
	}
}

// TestImports holds the arrows between packages. Tests may import anything.
func TestImports(t *testing.T) {
	t.Parallel()
	for _, file := range sources(t) {
		if file.test {
			continue
		}
		for _, imported := range file.imports() {
			if fault := forbidden(file.folder, imported); fault != "" {
				t.Errorf("%s: %s", file.name, fault)
			}
		}
	}
}

// forbidden says why code of a folder may not import a package, or nothing.
func forbidden(folder, imported string) string {
	if inside, own := strings.CutPrefix(imported, module); own {
		inside = strings.TrimPrefix(inside, "/")
		if inside == "" {
			inside = "."
		}
		if !slices.Contains(arrows()[folder], inside) {
			return folder + " may not import " + inside
		}
		return ""
	}
	if first, _, _ := strings.Cut(imported, "/"); folder == "engine" && strings.Contains(first, ".") {
		return "engine needs the standard library only, not " + imported
	}
	for prefix, folders := range doors() {
		opens := slices.ContainsFunc(strings.Fields(folders), func(door string) bool {
			return folder == door || strings.HasPrefix(folder, door+"/")
		})
		if !opens && (imported == prefix || strings.HasPrefix(imported, prefix+"/")) {
			return imported + " may be imported by " + folders + " only"
		}
	}
	return ""
}

// TestForbidden shows that the rule above finds what it is for.
func TestForbidden(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		folder, imported string
		want             bool
	}{
		{"engine", "github.com/go-chi/chi/v5", true},
		{"engine", "golang.org/x/sync/errgroup", true},
		{"engine", module + "/api", true},
		{"engine", "encoding/json", false},
		{"api", module + "/ws", true},
		{"ws", module + "/api", true},
		{"api", module + "/engine", false},
		{"ws", "github.com/go-chi/chi/v5", true},
		{"api", "github.com/go-chi/chi/v5", false},
		{"api", "github.com/go-json-experiment/json/jsontext", true},
		{"handlers", "github.com/coder/websocket", true},
		{"engine/middleware", "go.opentelemetry.io/otel/trace", false},
		{"engine/enginetest", "go.opentelemetry.io/otel/trace", true},
		{"client", "github.com/coder/websocket", true},
		{"client/worker", "github.com/coder/websocket", false},
		{"client/worker", module + "/engine", true},
	} {
		if got := forbidden(c.folder, c.imported); (got != "") != c.want {
			t.Errorf("%s imports %s: %q, want a fault: %t", c.folder, c.imported, got, c.want)
		}
	}
}

// TestPackageComments wants exactly what pkg.go.dev shows first.
func TestPackageComments(t *testing.T) {
	t.Parallel()
	documented := make(map[string]bool)
	for _, file := range sources(t) {
		if !file.test {
			documented[file.folder] = documented[file.folder] || file.Doc != nil
		}
	}
	for folder, has := range documented {
		if !has {
			t.Errorf("package %s has no comment", folder)
		}
	}
}

// TestDocumented wants a comment on every exported name that a person wrote. One
// comment over a group of constants or variables is enough.
func TestDocumented(t *testing.T) {
	t.Parallel()
	for _, file := range sources(t) {
		if file.test || ast.IsGenerated(file.File) {
			continue
		}
		for _, declaration := range file.Decls {
			for _, name := range undocumented(declaration) {
				t.Errorf("%s: %s has no comment", file.name, name)
			}
		}
	}
}

func undocumented(declaration ast.Decl) []string {
	switch d := declaration.(type) {
	case *ast.FuncDecl:
		if d.Name.IsExported() && d.Doc == nil && (d.Recv == nil || receiverExported(d.Recv)) {
			return []string{d.Name.Name}
		}
	case *ast.GenDecl:
		return undocumentedSpecs(d)
	}
	return nil
}

func undocumentedSpecs(d *ast.GenDecl) []string {
	var names []string
	for _, spec := range d.Specs {
		switch s := spec.(type) {
		case *ast.TypeSpec:
			if s.Name.IsExported() && s.Doc == nil && d.Doc == nil {
				names = append(names, s.Name.Name)
			}
		case *ast.ValueSpec:
			for _, name := range s.Names {
				if name.IsExported() && s.Doc == nil && s.Comment == nil && d.Doc == nil {
					names = append(names, name.Name)
				}
			}
		}
	}
	return names
}

func receiverExported(receiver *ast.FieldList) bool {
	exported := false
	ast.Inspect(receiver.List[0].Type, func(n ast.Node) bool {
		if name, ok := n.(*ast.Ident); ok {
			exported = exported || name.IsExported()
		}
		return true
	})
	return exported
}

// TestNoSleep wants tests to wait for conditions. In a testing/synctest bubble a
// sleep is exact and costs nothing, so files that import it may.
func TestNoSleep(t *testing.T) {
	t.Parallel()
	for _, file := range sources(t) {
		if !file.test || slices.Contains(file.imports(), "testing/synctest") {
			continue
		}
		ast.Inspect(file.File, func(n ast.Node) bool {
			if s, ok := n.(*ast.SelectorExpr); ok && s.Sel.Name == "Sleep" {
				if x, ok := s.X.(*ast.Ident); ok && x.Name == "time" {
					t.Errorf("%s: time.Sleep: await the condition instead", file.name)
				}
			}
			return true
		})
	}
}

// TestMap holds README's map of the repository against the folders there are.
func TestMap(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	made := []string{"bin", "testdata"} // by make build, and by a property that failed
	folders := make(map[string]bool)
	for _, entry := range entries {
		if entry.IsDir() && entry.Name()[0] != '.' && !slices.Contains(made, entry.Name()) {
			folders[entry.Name()] = true
		}
	}
	mapped := mapOf(string(readme), folders)
	for _, folder := range slices.Sorted(maps.Keys(folders)) {
		if !slices.Contains(mapped, folder) {
			t.Errorf("README's map lacks %s/", folder)
		}
	}
	for _, name := range mapped {
		if _, err := os.Stat(name); err != nil {
			t.Errorf("README's map has %s, which is not there", name)
		}
	}
}

// mapOf returns the names in the fenced block whose lines begin with the most
// folders; that of "cmd/server" is cmd.
func mapOf(readme string, folders map[string]bool) []string {
	var best []string
	most := 0
	for i, block := range strings.Split(readme, "```") {
		if i%2 == 0 {
			continue
		}
		_, block, _ = strings.Cut(block, "\n") // without the language
		var names []string
		hits := 0
		for line := range strings.Lines(block) {
			if line[0] == ' ' || strings.TrimSpace(line) == "" {
				continue
			}
			name, _, _ := strings.Cut(strings.Fields(line)[0], "/")
			names = append(names, name)
			if folders[name] {
				hits++
			}
		}
		if hits > most {
			best, most = names, hits
		}
	}
	return best
}
