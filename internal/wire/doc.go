// Package wire is what goes over the wire, whichever transport carries it: how a
// submission is read, how receipts, statuses and notifications are written, and
// which problem a client is told for which error. Packages api and ws share it.
//
// Reading uses json/v2, which refuses what a contract must not let pass:
// invalid UTF-8, duplicate and unknown members; it tells where by JSON Pointer.
// Writing appends to a buffer by hand: it is the hot path.
package wire
