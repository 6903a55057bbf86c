import { StopError, type Failure, type StopReason } from "./errors.js";
import type { Encoded, Job } from "./job.js";

/** How an attempt ended, as its frame says. */
export type Outcome = ({ op: "done" } & Encoded) | ({ op: "fail" } & Failure);

/** A job that this worker has, from its ack until it is settled. */
export interface Attempt {
  readonly id: string;
  readonly lease: number;
  readonly job: Job;
  readonly abort: AbortController;
  outcome?: Outcome;
  /** The last one saved, and the last progress: told again after a reconnect. */
  checkpoint?: Encoded;
  progress?: { fraction: number; note?: string };
  progressAt: number;
  progressDue: boolean;
  /** Settled: nothing is sent about it any more. */
  gone: boolean;
  /** Nobody waits for its result: it is held only until its handler has ended. */
  stale: boolean;
}

export interface Held {
  id: string;
  lease: number;
}

// So many outcomes may wait to be settled beyond the window, if they are small: the server
// stores many at once, and jobs need not wait for that.
const settlingAhead = 256;
const maxKept = 16 * 2 ** 20; // characters of results that are small, all together

const keyOf = (id: string, lease: number): string => `${id}/${lease}`;

/** What the worker holds: what runs, and what ended and is not settled. It is independent
 * of connections. */
export class Leases {
  readonly #held = new Map<string, Attempt>();
  #waiting: Attempt[] = []; // offers that are not acknowledged: no room
  #kept = 0;
  /** Handlers that have not ended, also of attempts that are gone. */
  running = 0;

  /** @param take acknowledges and runs an attempt; it is not called before there is room */
  constructor(
    readonly window: number,
    readonly take: (attempt: Attempt) => void,
  ) {}

  get size(): number {
    return this.#held.size;
  }

  get unsettled(): number {
    return [...this.#held.values()].filter((a) => a.outcome !== undefined).length;
  }

  all(): Iterable<Attempt> {
    return this.#held.values();
  }

  list(): Held[] {
    return [...this.#held.values()].map(({ id, lease }) => ({ id, lease }));
  }

  get(id: string, lease: number): Attempt | undefined {
    return this.#held.get(keyOf(id, lease));
  }

  /** Takes a job, or lets it wait for room; false for one that cannot even wait. */
  offer(attempt: Attempt): boolean {
    this.#waiting.push(attempt);
    this.#takeWaiting();
    if (this.#waiting.length <= this.window) return true;
    this.#waiting.pop();
    return false;
  }

  /** A handler has ended, with this outcome. It returns what is to be reported. */
  finish(attempt: Attempt, outcome: Outcome): Outcome | undefined {
    this.running--;
    const reported = attempt.gone ? undefined : this.end(attempt, outcome);
    this.#takeWaiting();
    return reported;
  }

  /** Notes an attempt's outcome, and returns what is to be reported. */
  end(attempt: Attempt, outcome: Outcome): Outcome {
    attempt.outcome = attempt.stale ? { op: "fail", code: "stale", message: "stale attempt", kind: "retry" } : outcome;
    attempt.progressDue = false;
    this.#kept += sizeOf(attempt.outcome);
    return attempt.outcome;
  }

  /** Forgets an attempt: the server has its outcome, or does not want it. */
  settle(id: string, lease: number): boolean {
    const attempt = this.get(id, lease);
    if (attempt === undefined) return false;
    this.#held.delete(keyOf(id, lease));
    attempt.gone = true;
    if (attempt.outcome === undefined) attempt.abort.abort(new StopError("stale"));
    else this.#kept -= sizeOf(attempt.outcome);
    this.#takeWaiting();
    return true;
  }

  /** Aborts an attempt, or withdraws an offer. What is stale stays held until its handler
   * has ended, for until then it has a place in the window. It returns an outcome that has to
   * be reported again: the server did not get it, or its answer was lost. */
  stop(id: string, lease: number, reason: StopReason): Attempt | undefined {
    this.#waiting = this.#waiting.filter((a) => a.id !== id || a.lease !== lease);
    const attempt = this.get(id, lease);
    if (attempt === undefined) return undefined;
    attempt.abort.abort(new StopError(reason));
    if (reason !== "stale") return undefined;
    attempt.stale = true;
    delete attempt.checkpoint;
    return attempt;
  }

  /** Offers of a connection that is over, or that nobody will take. */
  forgetOffers(): void {
    this.#waiting = [];
  }

  /** The window has a place, and what ended does not pile up. */
  #room(): boolean {
    const ended = this.#held.size - this.running;
    return this.running < this.window && (ended < this.window || (ended < this.window + settlingAhead && this.#kept < maxKept));
  }

  #takeWaiting(): void {
    while (this.#room()) {
      const attempt = this.#waiting.shift();
      if (attempt === undefined) return;
      this.#held.set(keyOf(attempt.id, attempt.lease), attempt);
      this.take(attempt);
    }
  }
}

const sizeOf = (outcome: Outcome): number => (outcome.op === "done" ? (outcome.data_base64?.length ?? 0) : 0);
