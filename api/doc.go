// Package api is the REST face of an engine: an http.Handler that accepts
// messages, shows what became of them, and answers every error with a problem
// document (RFC 9457). Its contract is openapi.yaml at the root of the module.
//
// # Usage
//
//	rest, err := api.New(e, api.Config{})
//	http.ListenAndServe("127.0.0.1:8080", rest)
//
// The handler starts no goroutine, and may be mounted beside others. It reads a body
// within bounds: of size by the engine's MaxMessageBytes, or 16 MiB for a batch; of
// time by Config.BodyTimeout.
//
// # Event streams
//
// An open stream (WHATWG HTML, section 9.2) is the goroutine of its request, at most
// Config.MaxStreams at once. It has no buffer while there is nothing to tell; a
// reader that takes no byte for Config.WriteTimeout is cut, and harms nobody else.
// Streams end when the engine has drained and all was told: drain it before
// http.Server.Shutdown, which waits for them.
package api
