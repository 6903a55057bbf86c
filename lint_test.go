package activemessage_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/activemessage/activemessage"
	"github.com/activemessage/activemessage/internal/toolchain"
)

// lintTools returns a folder with the ecosystem's linters, and the contracts.
func lintTools(t *testing.T) string {
	t.Helper()
	work := toolchain.NPM(t, os.DirFS("internal/contract/testdata/lint"))
	config, err := os.ReadFile(".redocly.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{
		"openapi.yaml": activemessage.OpenAPI(), "asyncapi.yaml": activemessage.AsyncAPI(), ".redocly.yaml": config,
	} {
		if err := os.WriteFile(filepath.Join(work, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return work
}

// TestLint has Redocly, the ecosystem's linter, read both contracts. It may not even
// warn. Faults are planted, to prove that it reads.
func TestLint(t *testing.T) {
	t.Parallel()
	work := lintTools(t)
	for document, c := range map[string]struct{ old, planted, fault string }{
		"openapi.yaml":  {"example: {retried: 3}", "example: {retried: many}", "no-invalid-media-type-examples"},
		"asyncapi.yaml": {"summary: A client subscribes.", "headline: A client subscribes.", "struct"},
	} {
		lint := toolchain.Command{Directory: work, Environment: []string{"REDOCLY_SUPPRESS_UPDATE_NOTICE=true"}, Line: []string{
			"node", "node_modules/@redocly/cli/bin/cli.js", "lint", "--config", ".redocly.yaml", "--format", "github-actions", document}}
		if output, err := lint.Output(t); err != nil || strings.Contains(output, "::") {
			t.Errorf("%s: %v\n%s", document, err, output)
		}
		content, err := os.ReadFile(filepath.Join(work, document))
		if err != nil {
			t.Fatal(err)
		}
		broken := strings.Replace(string(content), c.old, c.planted, 1)
		if err := os.WriteFile(filepath.Join(work, document), []byte(broken), 0o600); err != nil {
			t.Fatal(err)
		}
		if output, err := lint.Output(t); err == nil || !strings.Contains(err.Error(), c.fault) {
			t.Errorf("%s with a fault: %v\n%s", document, err, output)
		}
	}
}

// TestAsyncAPIIsValid asks the official parser, also about a document with a fault.
func TestAsyncAPIIsValid(t *testing.T) {
	t.Parallel()
	work := lintTools(t)
	document := string(activemessage.AsyncAPI())
	for name, c := range map[string]struct {
		document, fault string
	}{
		"asyncapi.yaml": {document, ""},
		"broken.yaml":   {strings.Replace(document, "/messages/ping'", "/messages/pink'", 1), "invalid-ref at operations/ping"},
	} {
		if err := os.WriteFile(filepath.Join(work, name), []byte(c.document), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := toolchain.Command{Directory: work, Line: []string{"node", "validate.js", name}}.Output(t)
		if (err == nil) != (c.fault == "") || err != nil && !strings.Contains(err.Error(), c.fault) {
			t.Errorf("%s: %v, want %q", name, err, c.fault)
		}
	}
}
