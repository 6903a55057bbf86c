// Package worker runs handlers of a server's messages in a process of their own.
//
// # Usage
//
//	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
//	defer stop()
//	err := worker.Run(ctx, worker.Config{
//		URL: "http://127.0.0.1:8080",
//		Handlers: map[string]worker.Handler{
//			"resize": func(ctx context.Context, job *worker.Job) (worker.Result, error) {
//				job.Progress(0.5, "half way")
//				return worker.Result{Data: job.Data, ContentType: job.ContentType}, nil
//			},
//		},
//	})
//
// The worker connects to the server, not the other way round, so it may be behind
// any firewall. Types that the server does not know are registered by it.
//
// # What is promised
//
// A message may run more than once: when a worker died, or was cut off for longer
// than its lease. A handler is idempotent by Job.ID. Otherwise nothing is lost:
//
//   - A result is kept until the server has said that it is settled, and sent again
//     after every reconnect.
//   - What runs goes on while the server is away, and is taken up again after.
//   - What the server gave to somebody else meanwhile is stopped, with ErrStale, and
//     its result dropped.
//
// # When a context ends
//
// The context of a handler ends when its message is cancelled or timed out, was given
// to somebody else, or must make room for a shutdown; context.Cause tells which:
// ErrCancelled, ErrTimeout, ErrStale or ErrDrain. A handler that ignores it keeps its
// place in the window until it returns.
//
// # Reconnecting
//
// The worker reconnects for ever, after a random time below a bound that doubles up to
// 30 s (full jitter), or up to a third of its leases, while it has some. A server that
// refuses what the worker says of itself, such as a policy that is not valid, or a type
// that runs in the server, may do so until an operator changes one of the two: it is
// logged as an error each time, and tried again after 15 s to 30 s. Run returns an error
// at once only for a Config that can never work.
//
// # Shutdown
//
// When Run's context ends, the worker takes no more jobs, finishes what runs, and
// delivers. After Config.DrainTimeout the contexts of the handlers end with ErrDrain;
// what they then return as an error counts as no attempt, and the message is queued
// again. Run returns when everything is settled, or 5 s later with an *UnsettledError.
//
// # Concurrency
//
// Run owns all goroutines of the worker: one that reads, one that writes and beats,
// and one for each job that runs. It awaits them, but for handlers that an
// UnsettledError tells of. Nothing is unbounded: at most Config.Window jobs run, and at
// most as many again have ended and wait to be settled, or 256 more if their results are
// less than 16 MiB together; while there are more, no further jobs are acknowledged.
//
// # Testing
//
// A Handler is a function: call it with a Job of your own. Its methods then do nothing
// but keep what they were given, see Job.Saved.
package worker
