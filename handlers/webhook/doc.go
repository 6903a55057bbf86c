// Package webhook has a handler that POSTs the message to a URL of the operator's:
// who answers may be written in any language, and run anywhere.
//
// # Request
//
// The body is the message's data, as it is, and Content-Type the message's. It is
// signed by Standard Webhooks 1.0 (standardwebhooks.com): Webhook-Id is the message's
// id, the same on every attempt, and what a receiver is idempotent by;
// Webhook-Timestamp is when the attempt began, in Unix seconds; Webhook-Signature has
// a signature by each of Config.Secrets. Of this server's own are Activemessage-Type,
// Activemessage-Attempt (from 1), Activemessage-Lease (a number that names the
// attempt), and Activemessage-Callback (see below); Traceparent and Tracestate are the
// submitter's.
//
// # Answer
//
//	200…299       the body is the result, with its Content-Type
//	202           the receiver settles the message later, see Callback
//	408 409 425   tried again by the type's policy, or after Retry-After, an hour at most
//	500…599       the same
//	429 503       the same; with Retry-After, the whole type waits
//	410           fails for good, and Config.OnGone is called
//	other 4xx     fails for good
//	3xx           fails for good: a redirect is never followed
//	no answer     tried again, and counts against the endpoint
//
// A result over Config.MaxBody fails the message for good with
// engine.CodeResultTooLarge; no more than that is read.
//
// # Callback
//
// After a 202 the attempt is the receiver's, until it sends its outcome to
// Activemessage-Callback + "/done" or "/fail" with the lease from
// Activemessage-Lease. A POST to "/beat" holds the lease for longer; when Config.Lease
// passes without one, the attempt is lost. A restart of the server in between changes
// nothing, if the receiver is heard of within half a minute of it.
//
// # What clients read
//
// A failure has CodeFailed and says no more than the status. The URL may hold tokens,
// and the receiver's words may be about anything: the URL's scheme and host and the
// beginning of the answer go to the log only, with the cause.
//
// # Where it connects to
//
// To public addresses only, unless Config.Allow has the address. What is checked is
// the address of each connection, after DNS. Redirects are not followed, and proxies in
// the environment are not used: either would be a way around.
//
// # Circuit breaker
//
// After Config.BreakerFailures failures in a row that tell of the endpoint (no answer, if
// only within 10 s, or 5xx) it is left alone for Config.BreakerDelay: the message type waits, and spends no
// attempt. Then one message is tried; its success closes the breaker.
package webhook
