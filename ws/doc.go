// Package ws pushes an engine's notifications over WebSocket (RFC 6455), and gives messages
// to workers over it.
//
// # Usage
//
//	server := ws.New(e, ws.Config{})
//	mux.Handle("GET /v1/ws", server)
//
// What a client subscribes to can ride in the query, so that a client needs no
// code: ws://host/v1/ws?subscribe=request_*&since=5f0c91ab.17. Parameters:
// subscribe (a prefix, prefix*, or *), message_id and message_type, each as often
// as wanted, and since, a cursor. Without a selector, a client of a protocol that
// only receives follows everything.
//
// # Protocols
//
// activemessage.v1.json, the default: every frame is a JSON object with an "op".
// Clients send subscribe, unsubscribe, submit and ping, with a ref that the answer
// repeats; the server sends welcome, subscribed, unsubscribed, accepted,
// notifications, progress, gap, error, draining and pong.
//
// activemessage.v1.text: every frame is one notification, exactly prefix:ok or
// prefix:err(message); lost ones are told by gap:first-last, or gap where the log
// was replaced. Clients send nothing.
//
// cloudevents.json: every frame is one notification as a CloudEvent in structured
// mode (CloudEvents 1.0.2); a gap is one of type activemessage.gap. Clients send
// nothing.
//
// # Close codes
//
//	1000  the client closed
//	1002  a frame that breaks the WebSocket protocol
//	1003  a binary frame, or any frame on a protocol that only receives
//	1007  a frame that is not a JSON object, or not UTF-8
//	1009  a frame over Config.ReadLimit
//	1012  the server stops: connect again, with the last cursor
//
// A peer that is silent for two and a half ping intervals, or that takes no byte
// for Config.WriteTimeout, is cut without a code: it could not read one.
//
// # Workers
//
// NewWork serves workers, package remote's transport, on activemessage.worker.v1.json:
//
//	mux.Handle("GET /v1/work", ws.NewWork(workers, ws.Config{}))
//
// Their close codes are those above, and
//
//	1008  a hello that is refused, or a frame whose members cannot be; the reason says why
//	1013  too many workers: connect again later
//	3008  no hello, or nothing at all for three beats: connect again
//	4001  another connection of the instance took over: give each process its own
//
// 1012 closes them at the server's end, after everything that they settled was confirmed. A
// worker's connection has a goroutine that reads, one that waits for what there is to tell,
// and a third while its socket is full: then its frames are read on, and it gets no jobs.
// The reading goroutine answers all frames that have arrived together in one write, and waits
// for no store. Who does not take what waits for it is not read from after 4,096 answers, and
// cut after Config.WriteTimeout.
//
// # Concurrency
//
// Each connection has one goroutine, which reads. It has no writer and no buffer
// until there is something to write: a few flushers share that work, one
// non-blocking write at a time for whatever is ready by then. Only a connection
// whose socket is full gets a goroutine of its own, until it has caught up.
//
// The reading goroutine submits, all submit frames together that have arrived by
// then. It may wait for the engine's store; meanwhile its client is told no
// notifications, and flushers do not wait.
//
// # What a slow subscriber does
//
// Nothing to anyone else, and it is not disconnected while it takes anything. It
// reads the engine's log at its own pace; what the log no longer has is a gap.
//
// # Shutdown
//
// Drain tells clients to go elsewhere and refuses new connections. After the
// engine has drained, Shutdown delivers what is left and closes with 1012, spread
// at random, so that clients do not return as one wave.
//
// # Testing
//
// Connections that are no sockets, such as net.Pipe in a testing/synctest bubble,
// are written by their own goroutine only.
package ws
