/** Why a job is to end: `job.signal.reason` is a StopError with one of these. */
export type StopReason = "cancelled" | "timeout" | "stale" | "drain";

/** The reason of a job's signal. */
export class StopError extends Error {
  override name = "StopError";
  constructor(readonly reason: StopReason) {
    super({ cancelled: "cancelled", timeout: "timed out", stale: "stale attempt", drain: "shutting down" }[reason]);
  }
}

/** A failure in words that clients of the server may read. Any other error reads
 * "handler failed" to them, and goes to the log. */
export class HandlerError extends Error {
  override name = "HandlerError";
  /** @param code is for programs: short, lower case, stable. */
  constructor(
    readonly code: string,
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

/** What `close` rejects with: the shutdown left something behind. The server runs those
 * messages again. */
export class UnsettledError extends Error {
  override name = "UnsettledError";
  constructor(
    /** Handlers that have not ended, although their signal was aborted. */
    readonly running: number,
    /** Outcomes that the server has not confirmed. */
    readonly unsettled: number,
  ) {
    super(`stopped with ${running} handlers that do not end and ${unsettled} outcomes that are not confirmed`);
  }
}

type Kind = "retry" | "permanent" | "snooze";

/** An error with what shall follow it. */
class Directive extends Error {
  override name = "Directive";
  constructor(
    readonly kind: Kind,
    readonly afterMs: number | undefined,
    override readonly cause: unknown,
  ) {
    super(kind);
  }
}

/** To be thrown: no further attempt can mend this, the message fails. */
export function permanent(error: unknown): Error {
  return new Directive("permanent", undefined, error);
}

/** To be thrown: the next attempt, if one is left, starts so many milliseconds from now
 * instead of after the policy's backoff. */
export function retryAfter(ms: number, error: unknown): Error {
  return new Directive("retry", ms, error);
}

/** To be thrown: the message is put off. It is no failure, and the attempt does not
 * count. */
export function snooze(ms: number): Error {
  return new Directive("snooze", ms, undefined);
}

/** What a fail frame says. */
export interface Failure {
  code: string;
  message: string;
  kind: Kind;
  after_ms?: number;
}

/** Puts what a handler threw into words for the server, and says whether the log has to
 * say more. */
export function failureOf(thrown: unknown, stopped: StopReason | undefined): { failure: Failure; secret: boolean } {
  const directive = thrown instanceof Directive ? thrown : undefined;
  const kind = directive?.kind ?? "retry";
  if (stopped === "drain" && kind === "retry") {
    // Whoever is next runs it: no attempt is counted.
    return { failure: { code: "handler_failed", message: "the worker shut down", kind: "snooze", after_ms: 0 }, secret: false };
  }
  const error = directive === undefined ? thrown : directive.cause;
  const failure: Failure = { code: "handler_failed", message: "handler failed", kind };
  const after = directive?.afterMs;
  if (after !== undefined) failure.after_ms = Number.isFinite(after) ? Math.max(0, Math.round(after)) : 0;
  if (error instanceof HandlerError) {
    failure.code = error.code === "" ? "handler_failed" : error.code;
    failure.message = error.message;
    return { failure, secret: error.cause !== undefined };
  }
  if (stopped === "timeout" || stopped === "cancelled") {
    failure.code = stopped;
    failure.message = new StopError(stopped).message;
    return { failure, secret: false };
  }
  return { failure, secret: kind !== "snooze" };
}
