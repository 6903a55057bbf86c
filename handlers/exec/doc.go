// Package exec runs a command for each message: convert, ffmpeg, a script, anything
// that reads its standard input and writes its standard output.
//
// # Usage
//
//	h, err := exec.New(exec.Config{
//		Command:    []string{"convert", "-", "-resize", "128x128", "png:-"},
//		ResultType: "image/png",
//	})
//	...
//	err = e.Register("thumbnail", h, engine.Policy{Concurrency: 2, MaxAttempts: 3})
//
// The message's data is the standard input, and what the command writes to its standard
// output is the result. A command need not read its input. There is no shell, unless
// Command names one, and nothing of a message ever becomes an argument: the operator
// writes the arguments, the submitter only data.
//
// # Outcomes
//
//   - Exit code 0: the message succeeded.
//   - Exit code 75, EX_TEMPFAIL of sysexits.h: the attempt failed with CodeCommandFailed,
//     and the next one starts when the policy's backoff has passed, as long as attempts
//     are left. A policy allows one attempt unless its MaxAttempts says more.
//   - Any other exit code is the command's verdict: the message failed with
//     CodeCommandFailed, whatever attempts are left.
//   - Killed by a signal that is none of ours (a crash, the kernel out of memory): as 75,
//     for the command said nothing.
//   - It did not start: the client reads "handler failed", the operator's log why; it is
//     tried again as after 75.
//   - It wrote more than MaxOutput: it is stopped, and the message failed with
//     engine.CodeResultTooLarge.
//   - Timeout, cancel and shutdown: it is stopped, and the message ends as with any
//     handler. A command that exits with 0 after it was asked to stop did not succeed:
//     what it wrote may be half of the result.
//
// The error's message is "exit status 3: " or "signal: killed: " and the end of the
// standard error: at most 20 lines and 3 KiB, as valid UTF-8 without control characters,
// of each line no more than its first 1 KiB. Clients read it; with Config.HideStderr
// they read the status alone, and the rest goes to the log.
//
// # Progress
//
// A line on the standard error that reads
//
//	AM_PROGRESS 0.4 resizing
//
// reports progress: a decimal fraction from 0 to 1, then, if it likes, a note. It
// is no part of the error's text. A line that is not of this form is.
//
// # Environment
//
// A command does not inherit the server's environment, which holds the secrets of other
// handlers. It gets, in this order, the later winning:
//
//   - of the server's: PATH, HOME, USER, LOGNAME, SHELL, LANG, LANGUAGE, LC_…, TZ and
//     TMPDIR; on Windows also TEMP, TMP, SYSTEMROOT, WINDIR, COMSPEC, PATHEXT, USERPROFILE;
//   - Config.Env;
//   - AM_MESSAGE_ID, the same on every attempt, AM_MESSAGE_TYPE, AM_ATTEMPT (from 1),
//     AM_CONTENT_TYPE, AM_KEY and AM_RESPONSE_NOTIFICATION, empty if the message has
//     none, AM_METADATA (a JSON object, {} without any) and AM_DEADLINE (RFC 3339, in
//     UTC, when the attempt's timeout passes; empty if it has none);
//   - TRACEPARENT and TRACESTATE (W3C Trace Context), if the message has them.
//
// This keeps secrets from what a command prints or hands on by accident. It is no
// sandbox: a command has the server's user, files and network.
//
// # Stopping
//
// Each command leads a process group of its own. When its context ends, the group gets
// SIGTERM, and SIGKILL after Config.KillAfter. What a command has left of its group when
// it exits is killed, at once if it exits by itself. A process that made itself a group or
// session of its own escapes; that it holds the command's output open delays the outcome
// by a quarter of a second. What it writes until then may be in the result, what it writes
// later is not.
//
// On Linux a command is killed when the server dies, also by kill -9 (PR_SET_PDEATHSIG);
// what it has started is not, for it is no child of the server: a container or a systemd
// unit sees to that. The kernel takes the thread that started a command for its parent,
// so Handle keeps its goroutine locked to its thread until the command has ended.
//
// Windows has neither groups nor SIGTERM: the command and what descends from it are
// ended at once, by taskkill; what it has left behind when it exits is not found.
//
// # Cost
//
// A new process per message, about a millisecond of CPU: what a bare fork takes is most of
// it, see BenchmarkHandler. A command that serves many messages is a remote worker.
package exec
