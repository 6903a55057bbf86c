import { failureOf, StopError, UnsettledError, type StopReason } from "./errors.js";
import { encode, fromBase64, type Handler, type Job } from "./job.js";
import { Leases, type Attempt, type Outcome } from "./leases.js";
import { protocol, Session, type Frame, type Host, type Socket } from "./session.js";

export type { Socket } from "./session.js";

/** How the server runs the messages of a type that it did not know before; durations are
 * written as "30s" or "1m30s". What is absent has the server's default. */
export interface Policy {
  concurrency?: number;
  queue_limit?: number;
  queue_bytes?: number;
  timeout?: string;
  grace?: string;
  max_attempts?: number;
  max_lost?: number;
  backoff?: { initial?: string; max?: string };
}

/** Receives what an operator wants to know. */
export type Log = (level: "debug" | "warn" | "error", text: string, detail?: unknown) => void;

export interface WorkerOptions {
  /** The server's: "http://127.0.0.1:8080", or with https, ws or wss. /v1/work is added
   * unless the path ends with it. */
  url: string;
  /** Message types, and what does their jobs. */
  handlers: Readonly<Record<string, Handler>>;
  /** For types that the server did not know before. */
  policies?: Readonly<Record<string, Policy>>;
  /** How many jobs run at once, 1 to 10,000. Defaults to 16. */
  window?: number;
  /** How long close() lets handlers go on before it aborts them. Defaults to 30,000. */
  drainMs?: number;
  /** Makes the WebSocket. Defaults to the global one, which Node has since version 22. With
   * the package ws: `connect: (url, protocol) => new WebSocket(url, protocol, { headers })`. */
  connect?: (url: string, protocol: string) => Socket;
  /** Defaults to the console, from "warn" on. */
  log?: Log;
}

/** A worker that runs. */
export interface Worker {
  /** Takes no more jobs, finishes what runs, and resolves when everything is settled. After
   * drainMs the signals of the jobs are aborted; 5 s later it rejects with an
   * UnsettledError. */
  close(): Promise<void>;
}

const stopGraceMs = 5_000;
const firstWaitMs = 500;
const maxWaitMs = 30_000;
const progressMs = 100; // how often progress is sent at once; the rest goes with a beat
const maxTimerMs = 2 ** 31 - 1;
const refusals = [1002, 1003, 1007, 1008, 1009, 3000, 3003]; // and those from 4000

/** Connects to the server and does its jobs, reconnecting for ever, until close(). It
 * throws a TypeError for options that can never work. */
export function startWorker(options: WorkerOptions): Worker {
  return new RunningWorker(options);
}

class RunningWorker implements Worker, Host {
  readonly #options: WorkerOptions;
  readonly #url: string;
  readonly #connectSocket: (url: string, protocol: string) => Socket;
  readonly #log: Log;
  readonly #instance = [...crypto.getRandomValues(new Uint8Array(16))].map((b) => b.toString(16).padStart(2, "0")).join("");
  readonly #leases: Leases;
  #session: Session | undefined;
  #failures = 0;
  #leaseMs = 0; // how long the server keeps a lease
  #connected = 0; // when the last session ended
  #retry: ReturnType<typeof setTimeout> | undefined;
  #closing: Promise<void> | undefined;
  #changed: () => void = () => undefined;

  constructor(options: WorkerOptions) {
    this.#options = options;
    const window = options.window ?? 16;
    if (!Number.isInteger(window) || window < 1 || window > 10_000) throw new TypeError(`window: ${window} is not from 1 to 10,000`);
    if (Object.keys(options.handlers).length === 0) throw new TypeError("handlers: name a message type and what does it");
    this.#url = address(options.url);
    this.#connectSocket = options.connect ?? globalSocket();
    this.#log = options.log ?? toConsole;
    this.#leases = new Leases(window, (attempt) => this.#take(attempt));
    this.#connect();
  }

  close(): Promise<void> {
    return (this.#closing ??= this.#drain());
  }

  async #drain(): Promise<void> {
    this.#leases.forgetOffers();
    this.#session?.send({ op: "drain" });
    try {
      if (await this.#empty(this.#options.drainMs ?? 30_000)) return;
      for (const attempt of this.#leases.all()) attempt.abort.abort(new StopError("drain"));
      if (await this.#empty(stopGraceMs)) return;
      throw new UnsettledError(this.#leases.running, this.#leases.unsettled);
    } finally {
      clearTimeout(this.#retry);
      this.#retry = undefined;
      this.#session?.close();
    }
  }

  /** Resolves with true when nothing is left, or with false after so many milliseconds. */
  #empty(ms: number): Promise<boolean> {
    return new Promise((resolve) => {
      const look = (): void => {
        if (this.#leases.size + this.#leases.running > 0) return;
        clearTimeout(timer);
        resolve(true);
      };
      const timer = setTimeout(() => resolve(false), ms);
      this.#changed = look;
      look();
    });
  }

  #connect(): void {
    this.#retry = undefined;
    try {
      this.#session = new Session(this.#connectSocket(this.#url, protocol), this);
    } catch (error) {
      this.#again(1006, String(error), false);
    }
  }

  #again(code: number, reason: string, good: boolean): void {
    if (this.#closing !== undefined && this.#leases.size + this.#leases.running === 0) return;
    this.#failures = good ? 0 : this.#failures + 1;
    const refused = refusals.includes(code) || code >= 4000;
    const wait = refused
      ? maxWaitMs / 2 + (Math.random() * maxWaitMs) / 2 // until an operator has changed something
      : Math.random() * Math.min(this.#patience(), firstWaitMs * 2 ** this.#failures); // full jitter
    this.#log(refused ? "error" : "warn", `${refused ? "refused by" : "not connected to"} ${this.#url}: ${code} ${reason}; again in ${Math.round(wait)} ms`);
    this.#retry = setTimeout(() => this.#connect(), wait);
  }

  /** While the server still keeps the leases of this worker, there have to be a few attempts
   * in their time. */
  #patience(): number {
    const kept = this.#leases.size > 0 && performance.now() - this.#connected < this.#leaseMs;
    return kept ? Math.min(maxWaitMs, this.#leaseMs / 3) : maxWaitMs;
  }

  // What the session asks.

  hello(): object {
    const { handlers, policies } = this.#options;
    const types = Object.keys(handlers).map((messageType) => {
      const policy = policies?.[messageType];
      return { message_type: messageType, ...(policy && { policy }) };
    });
    return { instance: this.#instance, types, window: this.#leases.window, held: this.#leases.list() };
  }

  held(): { id: string; lease: number }[] {
    for (const attempt of this.#leases.all()) if (attempt.progressDue) this.#sendProgress(attempt);
    return this.#leases.list();
  }

  welcomed(session: Session): void {
    this.#log("debug", `connected to ${this.#url}`);
    for (const attempt of this.#leases.all()) {
      this.#sendCheckpoint(attempt);
      if (attempt.outcome !== undefined) this.#sendOutcome(attempt, attempt.outcome);
      else if (attempt.progress !== undefined) this.#sendProgress(attempt);
    }
    if (this.#closing !== undefined) session.send({ op: "drain" });
  }

  ended(session: Session, code: number, reason: string): void {
    if (this.#session !== session) return;
    this.#session = undefined;
    this.#leases.forgetOffers();
    if (session.welcomedAt === undefined) {
      this.#again(code, reason, false);
      return;
    }
    this.#leaseMs = session.leaseMs;
    this.#connected = performance.now();
    this.#again(code, reason, session.settled || this.#connected - session.welcomedAt > session.beatMs);
  }

  serve(session: Session, frame: Frame): void {
    const id = String(frame["id"]);
    const lease = Number(frame["lease"]);
    switch (frame["op"]) {
      case "job":
        this.#serveJob(frame);
        break;
      case "settled":
        if (!this.#leases.settle(id, lease)) break;
        session.settled = true;
        if (frame["stale"] === true) this.#log("warn", `${id}: the outcome is not wanted any more`);
        break;
      case "stop":
        this.#stop(frame);
        break;
      case "beat":
        if (Array.isArray(frame["stop"])) for (const item of frame["stop"]) this.#stop(item as Frame);
        break;
      case "drain":
        session.draining = true;
        break;
    }
    this.#changed();
    if (session.draining && this.#leases.size === 0) session.close();
  }

  #stop(item: Frame): void {
    const [id, lease] = [String(item["id"]), Number(item["lease"])];
    const reason = reasonOf(item["reason"]);
    if (reason === "stale") this.#log("warn", `${id}: the lease is not this worker's any more`);
    const again = this.#leases.stop(id, lease, reason);
    if (again?.outcome !== undefined) this.#sendOutcome(again, again.outcome);
  }

  #serveJob(frame: Frame): void {
    const { id, lease, message_type: messageType } = frame;
    if (typeof id !== "string" || typeof lease !== "number" || typeof messageType !== "string" || !Object.hasOwn(this.#options.handlers, messageType)) {
      this.#log("error", "a job is not taken: no such handler, or no id and lease", { id, lease, messageType });
      return; // without an ack the server takes it back
    }
    if (this.#leases.get(id, lease) !== undefined) { // its ack did not arrive
      this.#session?.send({ op: "ack", id, lease });
      return;
    }
    const abort = new AbortController();
    const attempt: Attempt = { id, lease, abort, progressAt: 0, progressDue: false, gone: false, stale: false, job: undefined as never };
    Object.assign(attempt, { job: this.#job(frame, attempt) });
    if (!this.#leases.offer(attempt)) this.#log("error", `${id} is not taken: more jobs than the window`);
  }

  #job(frame: Frame, attempt: Attempt): Job {
    const text = (name: string): string | undefined => (typeof frame[name] === "string" ? frame[name] : undefined);
    const data = (name: string): unknown => {
      const encoded = text(`${name}_base64`);
      return encoded === undefined ? frame[name] : fromBase64(encoded);
    };
    const deadline = text("deadline");
    return {
      id: attempt.id,
      lease: attempt.lease,
      messageType: String(frame["message_type"]),
      attempt: Number(frame["attempt"] ?? 1),
      maxAttempts: Number(frame["max_attempts"] ?? 1),
      deadline: deadline === undefined ? undefined : new Date(deadline),
      data: data("message_data"),
      contentType: text("content_type"),
      key: text("key"),
      metadata: (frame["metadata"] ?? {}) as Record<string, string>,
      checkpoint: data("checkpoint"),
      traceparent: text("traceparent"),
      signal: attempt.abort.signal,
      progress: (fraction, note) => this.#progress(attempt, fraction, note),
      save: (checkpoint) => {
        const { data_base64 = "" } = encode(checkpoint);
        const before = attempt.checkpoint;
        attempt.checkpoint = { data_base64 };
        if (this.#sendCheckpoint(attempt)) return;
        if (before === undefined) delete attempt.checkpoint;
        else attempt.checkpoint = before;
        throw new RangeError("the checkpoint is too large for the server");
      },
    };
  }

  /** Acknowledges a job and runs it. There is room. */
  #take(attempt: Attempt): void {
    this.#session?.send({ op: "ack", id: attempt.id, lease: attempt.lease });
    if (this.#closing !== undefined) { // it crossed our drain: somebody else runs it
      this.#sendOutcome(attempt, this.#leases.end(attempt, { op: "fail", ...failureOf(undefined, "drain").failure }));
      return;
    }
    this.#leases.running++;
    void this.#run(attempt);
  }

  async #run(attempt: Attempt): Promise<void> {
    const { job } = attempt;
    const left = job.deadline === undefined ? 0 : job.deadline.getTime() - Date.now();
    // What is over on arrival tells that the clocks differ; then the server says stop.
    const timer = left > 0 && left < maxTimerMs ? setTimeout(() => attempt.abort.abort(new StopError("timeout")), left) : undefined;
    let outcome: Outcome;
    try {
      await Promise.resolve(); // the ack goes first
      outcome = { op: "done", ...encode(await this.#options.handlers[job.messageType]?.(job)) };
    } catch (thrown) {
      const reason = job.signal.reason instanceof StopError ? job.signal.reason.reason : undefined;
      const { failure, secret } = failureOf(thrown, reason);
      if (secret) this.#log("warn", `${attempt.id}: the handler of ${job.messageType} failed`, thrown);
      outcome = { op: "fail", ...failure };
    } finally {
      clearTimeout(timer);
    }
    const reported = this.#leases.finish(attempt, outcome);
    if (reported !== undefined) this.#sendOutcome(attempt, reported);
    this.#changed();
  }

  #sendOutcome({ id, lease }: Attempt, { op, ...members }: Outcome): void {
    if (this.#session?.send({ op, id, lease, ...members }) !== false) return;
    this.#log("error", `${id}: the result is too large for the server`);
    this.#session.send({ op: "fail", id, lease, code: "result_too_large", message: "the result is too large", kind: "permanent" });
  }

  #progress(attempt: Attempt, fraction: number, note: string | undefined): void {
    if (attempt.gone || attempt.stale || attempt.outcome !== undefined) return;
    attempt.progress = { fraction: fraction > 0 ? Math.min(fraction, 1) : 0, ...(note !== undefined && { note }) };
    attempt.progressDue = true;
    const now = performance.now();
    if (attempt.progressAt !== 0 && now - attempt.progressAt < progressMs) return;
    attempt.progressAt = now;
    this.#sendProgress(attempt);
  }

  #sendProgress(attempt: Attempt): void {
    attempt.progressDue = false;
    this.#session?.send({ op: "progress", id: attempt.id, lease: attempt.lease, ...attempt.progress });
  }

  /** Returns false for a checkpoint that is too large. */
  #sendCheckpoint(attempt: Attempt): boolean {
    if (attempt.gone || attempt.stale || attempt.checkpoint === undefined) return true;
    return this.#session?.send({ op: "save", id: attempt.id, lease: attempt.lease, ...attempt.checkpoint }) ?? true;
  }
}

function reasonOf(word: unknown): StopReason {
  return word === "timeout" || word === "stale" || word === "drain" ? word : "cancelled";
}

function address(text: string): string {
  const url = new URL(text);
  url.protocol = { "http:": "ws:", "https:": "wss:" }[url.protocol] ?? url.protocol;
  if (url.protocol !== "ws:" && url.protocol !== "wss:") throw new TypeError(`url: ${text}: use one such as http://127.0.0.1:8080`);
  if (!url.pathname.endsWith("/v1/work")) url.pathname = `${url.pathname.replace(/\/$/, "")}/v1/work`;
  return url.href;
}

function globalSocket(): (url: string, protocol: string) => Socket {
  const { WebSocket } = globalThis as { WebSocket?: new (url: string, protocol: string) => Socket };
  if (WebSocket === undefined) {
    throw new TypeError('connect: there is no global WebSocket here; with the package ws, pass connect: (url, protocol) => new WebSocket(url, protocol)');
  }
  return (url, protocol) => new WebSocket(url, protocol);
}

const toConsole: Log = (level, text, detail) => {
  if (level !== "debug") console[level](`activemessage worker: ${text}`, ...(detail === undefined ? [] : [detail]));
};
