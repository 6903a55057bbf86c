// Package remote serves message types with workers outside of the server: processes in any
// language, that take messages and settle them. It is the worker protocol without a
// transport: package ws speaks it over WebSocket, package api over plain HTTP.
//
// # Usage
//
//	workers := remote.New(e, remote.Config{})
//	mux.Handle("GET /v1/work", ws.NewWork(workers, ws.Config{}))
//	api.New(e, api.Config{Workers: workers})
//
// # Words
//
// An instance is one worker process. A session is its connection, of which it has one at a
// time: a later one replaces it. A lease, (id, attempt), is an attempt that an instance was
// given; it does not rotate. It is offered until the worker acks it, or says anything of it;
// then it runs until it is settled, or until nothing was heard of it for Config.Lease.
//
// # Promises
//
//  1. An offer that is not acked within Config.Offer is another worker's, and does not count.
//  2. A beat lists what the worker holds. What it has acked and does not list is lost at
//     once; what it lists and does not have it is told to stop.
//  3. A settlement is confirmed when it is as durable as the engine promises, in order.
//     What is reported of a lease that is not running is answered as stale; never an error.
//  4. A connection that is cut ends no work: leases run on, and the instance's next hello
//     resumes those that it lists.
//  5. A worker reaches its own leases only. What it says of others changes nothing.
//
// # Bounds
//
// The instances, the types that workers register, a session's window and its lists are
// bounded. A worker that runs work it was told to stop has that much less window, and so
// has one whose settlements wait for the store.
//
// # Concurrency
//
// Workers has one goroutine, which finds those who are silent, and one for each instance
// while settlements of it wait for the store. Close awaits them. A Session's methods may be
// called from any goroutine, and none but Wait blocks on a worker or a store.
package remote
