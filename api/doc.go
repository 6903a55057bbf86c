// Package api is the REST face of an engine: an http.Handler that accepts
// messages, shows what became of them, and answers every error with a problem
// document (RFC 9457). Its contract is openapi.yaml at the root of the module.
//
// # Usage
//
//	http.ListenAndServe("127.0.0.1:8080", api.New(e, api.Config{}))
//
// The handler keeps no state of its own, starts no goroutine, and may be mounted
// beside others. It reads a body within bounds: of size by the engine's
// MaxMessageBytes, of time by Config.BodyTimeout.
package api
