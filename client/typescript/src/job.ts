/** One attempt at a message. */
export interface Job {
  /** The message's: the same for each attempt, so handlers are idempotent by it. */
  readonly id: string;
  /** The attempt's number, as the protocol counts it. */
  readonly lease: number;
  readonly messageType: string;
  /** Counts from 1, up to maxAttempts. */
  readonly attempt: number;
  readonly maxAttempts: number;
  /** When the attempt ends, by the server's clock. */
  readonly deadline: Date | undefined;
  /** The message's data: the value, if it is JSON (numbers as JavaScript has them),
   * else a Uint8Array; undefined if it is empty. */
  readonly data: unknown;
  readonly contentType: string | undefined;
  /** The message's ordering key. */
  readonly key: string | undefined;
  readonly metadata: Readonly<Record<string, string>>;
  /** What an earlier attempt saved, in the form of data. */
  readonly checkpoint: unknown;
  /** The submitter's trace (W3C Trace Context). */
  readonly traceparent: string | undefined;
  /** Is aborted with a StopError when the job is to end. */
  readonly signal: AbortSignal;
  /** Tells subscribers how far the job is: a fraction from 0 to 1, and a few words. Only
   * the latest counts; calling it often is cheap. */
  progress(fraction: number, note?: string): void;
  /** Keeps a checkpoint, which the next attempt gets, if there is one: a JSON value, or a
   * Uint8Array. It throws a RangeError if that is too large, and does not wait for the server. */
  save(checkpoint: unknown): void;
}

/** Does a job. What it returns is the result: a JSON value, Bytes, or undefined for none.
 * What it throws fails the attempt. */
export type Handler = (job: Job) => unknown;

/** A result that is not JSON. */
export class Bytes {
  constructor(
    readonly data: Uint8Array,
    readonly contentType = "application/octet-stream",
  ) {}
}

/** Members of a frame that carry bytes. */
export interface Encoded {
  data_base64?: string;
  content_type?: string;
}

/** Encodes what a handler returned. Also JSON goes as bytes: of a value the server would
 * look into every part, and cut a worker whose handler nests too deep. */
export function encode(value: unknown): Encoded {
  if (value === undefined) return {};
  if (value instanceof Bytes) return { data_base64: toBase64(value.data), content_type: value.contentType };
  if (value instanceof Uint8Array) return { data_base64: toBase64(value), content_type: "application/octet-stream" };
  const text = JSON.stringify(value) as string | undefined; // undefined for a function
  if (text === undefined) throw new TypeError(`a ${typeof value} has no form in JSON`);
  return { data_base64: toBase64(new TextEncoder().encode(text)), content_type: "application/json" };
}

const piece = 0x8000; // arguments of one call

function toBase64(data: Uint8Array): string {
  let text = "";
  for (let i = 0; i < data.length; i += piece) text += String.fromCharCode(...data.subarray(i, i + piece));
  return btoa(text);
}

export function fromBase64(text: string): Uint8Array {
  return Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
}
