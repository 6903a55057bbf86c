// Package engine runs typed messages on a bounded pool of handlers and tells
// everyone who subscribed how each one ended. It needs the standard library
// only, and neither HTTP nor a database.
//
// # Usage
//
// Register a Handler for each message type, Submit messages, and Subscribe to
// the notifications of their outcomes:
//
//	e, err := engine.New(engine.Config{Concurrency: 16})
//	err = e.Register("greet", engine.Typed(greet), engine.Policy{Timeout: time.Second})
//	sub, err := e.Subscribe(engine.Selector{ResponseNotification: "request_*"}, engine.Cursor{})
//	receipt, err := e.Submit(ctx, engine.Submission{
//		MessageType:          "greet",
//		MessageData:          []byte(`{"name":"Ada"}`),
//		ResponseNotification: "request_1",
//	})
//	delivery, err := sub.Next(ctx) // delivery.Notifications[0].String() == "request_1:ok"
//	err = e.Drain(ctx)
//
// # States
//
// A message is queued, then running, and ends succeeded, failed, cancelled or
// expired: exactly once, whatever its handler does. One that is to wait is
// scheduled before that, and one that failed and may try again is retrying.
// Outcomes of messages that carry a response notification are published to a
// numbered log.
//
// # Bad data
//
// A handler that is a Checker, such as one made by Typed, refuses data when it is
// submitted. What was accepted is run.
//
// # Retries
//
// Policy.MaxAttempts says how often a handler is tried, Policy.Backoff after what
// time. A handler's error may say otherwise: Permanent ends it, RetryAfter sets the
// time, Throttle holds the whole type for it, Snooze puts the message off without spending an
// attempt. Message.Save keeps a checkpoint for the next attempt. Retry and RetryAll
// run again what ended without success; such a message gets another outcome.
//
// # Concurrency
//
// All methods of Engine may be called from any goroutine. Handlers run on
// standing workers, at most Config.Concurrency at once and at most
// Policy.Concurrency of one type. Types that have work take turns; within a type
// higher priorities go first; messages of one key run one at a time, in order.
// A handler that ignores the end of its context keeps its slot until it returns.
//
// Every queue is bounded. Submit never waits for room: what does not fit is refused with
// an error that says when to come back.
//
// # Outside the engine
//
// A type registered with Outside runs elsewhere: a Consumer takes its messages, as many
// as it has slots, and each is settled by its Lease, which is the message and the attempt.
// A handler, too, may leave its message with somebody else, with Detach. What runs outside
// holds no slot of Config.Concurrency, but one of its type.
//
// A lease runs for a time, and is extended by whoever has it. When it ends, the attempt is
// lost: it does not count, the loss does, up to Policy.MaxLost. What comes for it then is
// stale. With a Store a lease outlives the engine: whoever has it resumes it with the next
// one, within half a minute; then the message runs again.
//
// # What a slow subscriber does
//
// Nothing to anyone else. A Subscription is a position in the log; a reader that
// is slower than the log's bounds allow gets a Gap that says what it missed.
//
// # Shutdown
//
// Drain refuses new messages, waits for the accepted ones (with a Store: for those that
// run), and stops every goroutine the engine started, except handlers that do not return.
//
// # Stores
//
// Without a Store an engine keeps everything in memory, within its bounds. With one,
// what waits and what has ended is in the store; memory has what runs. A message is
// accepted, and an outcome published, when the store has it: all changes go through
// one goroutine, the committer, and those that come while it commits are its next
// group. So a store's sync of the disk is shared by all who wait for it.
//
// After a crash the next engine of the store goes on. What ran then runs again, up to
// Policy.MaxLost times; a handler is idempotent by Message.ID. Drain of an engine with
// a store hands back what it does not finish, instead of cancelling it.
//
// # Testing
//
// An Engine runs in a testing/synctest bubble, so timeouts are exact and fast.
// A Handler needs no engine at all: call it with a Message literal. The package enginetest
// runs one as an engine does, with its policy and its retries.
package engine
