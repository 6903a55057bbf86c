package contract_test

import (
	"os/exec"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/activemessage/activemessage"
	"github.com/activemessage/activemessage/internal/contract"
)

const base = "http://127.0.0.1:8080"

// keywords is a document with what the server's own does not use.
const keywords = `
openapi: 3.1.1
info: {title: keywords, version: '1'}
paths:
  /things/{kind}:
    parameters:
      - {name: kind, in: path, required: true, schema: {type: string, enum: [a, b c, d/e]}}
      - {name: big, in: query, schema: {type: boolean}}
      - {name: ratio, in: query, schema: {type: number, minimum: 0, maximum: 1}}
      - {name: X-Shade, in: header, schema: {type: string, minLength: 2, maxLength: 4, pattern: '^[a-z]+$'}}
    put:
      requestBody:
        required: true
        content:
          application/json:
            schema: {$ref: '#/components/schemas/Thing', maxProperties: 5}
      responses:
        '204': {description: Done.}
components:
  schemas:
    Thing:
      allOf:
        - type: object
          required: [id]
          properties: {id: {type: string, format: uuid}, at: {type: string, format: date-time}}
        - type: object
          required: [count]
          properties: {count: {type: integer, minimum: 3, maximum: 5}, fixed: {const: 7}, bytes: {type: string, contentEncoding: base64}}
      properties:
        either:
          oneOf:
            - {type: string, maxLength: 3}
            - {type: array, minItems: 1, maxItems: 2, items: {type: [boolean, 'null']}}
        any:
          type: object
          anyOf:
            - {required: [a], properties: {a: {type: number}}}
            - {required: [b], properties: {b: {type: string, minLength: 1}}}
`

// Whatever is drawn as valid has to be that for the checker, which reads the
// document with other code.
func TestValidRequestsAreValid(t *testing.T) {
	t.Parallel()
	for name, document := range map[string][]byte{"own": activemessage.OpenAPI(), "keywords": []byte(keywords)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			checker, generator := readBoth(t, document)
			if len(generator.Operations()) != len(checker.Operations()) {
				t.Errorf("operations: %v, want those of %v", generator.Operations(), checker.Operations())
			}
			rapid.Check(t, func(t *rapid.T) {
				for _, o := range generator.Operations() {
					r := generator.Valid(o, nil).Draw(t, "request")
					if strings.Contains(r.Header.Get("Content-Type"), "ndjson") {
						continue // the checker cannot read it
					}
					if err := check(t, checker, r); err != nil {
						t.Errorf("%v\n%s", err, r.Curl(base))
					}
				}
			})
		})
	}
}

// Every mutation happens, and those that break a schema are seen by the checker.
func TestMutatedRequestsAreNot(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("too few are drawn to see all")
	}
	checker, generator := readBoth(t, activemessage.OpenAPI())
	drawn, refused := make(map[string]int), make(map[string]int)
	rapid.Check(t, func(t *rapid.T) {
		for _, o := range generator.Operations() {
			r := generator.Mutated(o, nil).Draw(t, "request")
			drawn[r.Mutation]++
			if check(t, checker, r) != nil {
				refused[r.Mutation]++
			}
		}
	})
	for _, name := range contract.Mutations() {
		if drawn[name] == 0 {
			t.Errorf("%s was not drawn", name)
		}
	}
	for _, name := range []string{"wrong JSON type", "missing member", "unknown member", "number out of range", "broken JSON", "other content type", "odd parameter", "other method"} {
		if refused[name] == 0 {
			t.Errorf("%s: none of %d is seen by the checker", name, drawn[name])
		}
	}
}

func readBoth(t *testing.T, document []byte) (*contract.Checker, *contract.Generator) {
	t.Helper()
	checker := newChecker(t, document)
	generator, err := contract.NewGenerator(document)
	if err != nil {
		t.Fatal(err)
	}
	return checker, generator
}

func check(t *rapid.T, checker *contract.Checker, r contract.Request) error {
	t.Helper()
	request, err := r.HTTP(t.Context(), base)
	if err != nil {
		t.Fatal(err)
	}
	return checker.CheckRequest(request, r.Body)
}

// A command that is printed has to send the same bytes.
func TestCurlQuotesForBash(t *testing.T) {
	t.Parallel()
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip(err)
	}
	for _, body := range []string{"plain", "", `it's a "test" \ $HOME`, "\xff\n\té", strings.Repeat("x", 5000) + "'y", "a\x00b"} {
		r := contract.Request{Method: "POST", Path: "/", Body: []byte(body)}
		// The stand-in of curl writes the body that it is given.
		script := `curl() { if [ "${@: -2:1}" = @- ]; then cat; else printf %s "${@: -2:1}"; fi; }; ` + r.Curl(base)
		got, err := exec.CommandContext(t.Context(), bash, "-c", script).Output()
		if err != nil || string(got) != body {
			t.Errorf("%v: %.40q, want %.40q\n%.200s", err, got, body, r.Curl(base))
		}
	}
}

func TestBadDocuments(t *testing.T) {
	t.Parallel()
	for name, document := range map[string]string{
		"no OpenAPI":        "a: 1",
		"no target":         strings.Replace(keywords, "'#/components/schemas/Thing'", "'#/components/schemas/Nothing'", 1),
		"contains itself":   strings.Replace(keywords, "{const: 7}", "{$ref: '#/components/schemas/Thing'}", 1),
		"no such parameter": strings.Replace(keywords, "- {name: big, in: query, schema: {type: boolean}}", "- {$ref: '#/components/parameters/Big'}", 1),
	} {
		if _, err := contract.NewGenerator([]byte(document)); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
