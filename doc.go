// Package activemessage is the front page of the module, and holds the contracts
// of its HTTP interface, of its streams and of the server's configuration file.
//
// A message has a type, data, and a response notification. The handler that is
// registered for the type runs it on a bounded pool, and how that ended goes to
// everyone who subscribed: "request_1:ok", or "request_1:err" and a text.
//
// # What to import
//
// Package engine runs messages and needs the standard library only. Packages api
// (REST) and ws (WebSocket) are http.Handlers over an engine, to be mounted in any
// server. Command cmd/server is all of it in one program, with the examples of
// package handlers:
//
//	go run github.com/activemessage/activemessage/cmd/server
//
// # The contracts
//
// openapi.yaml and asyncapi.yaml are written by hand. Tests of this package hold
// every endpoint against the one and every frame and event against the other, and
// the import arrows between packages against their rules.
package activemessage

import (
	_ "embed"
	"slices"
)

//go:embed openapi.yaml
var openAPI []byte // never written to

//go:embed asyncapi.yaml
var asyncAPI []byte // never written to

//go:embed config.schema.json
var configSchema []byte // never written to

// OpenAPI returns a copy of the OpenAPI 3.1 document, in YAML, for api.Config.
func OpenAPI() []byte { return slices.Clone(openAPI) }

// AsyncAPI returns a copy of the AsyncAPI 3.1 document, in YAML, for api.Config.
func AsyncAPI() []byte { return slices.Clone(asyncAPI) }

// ConfigSchema returns a copy of the JSON Schema (2020-12) of the server's configuration
// file. Beside the standard's keywords it has patternErrorMessage, errorMessage and
// doNotSuggest, which editors know as VS Code's: words for those who edit the file.
func ConfigSchema() []byte { return slices.Clone(configSchema) }
