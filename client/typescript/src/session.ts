import type { Held } from "./leases.js";

export const protocol = "activemessage.worker.v1.json";

const handshakeMs = 15_000; // from the connect to the welcome
const closeMs = 2_000; // for a close handshake
const deadBeats = 3; // so many beats without a frame, or without headway, are the end

/** What a worker needs of a WebSocket; the browser's, Node's and that of `ws` have it. */
export interface Socket {
  readonly bufferedAmount: number;
  readonly protocol: string;
  send(data: string): void;
  close(code?: number, reason?: string): void;
  /* eslint-disable @typescript-eslint/no-explicit-any -- each library has event types of its own */
  onopen: ((event: any) => void) | null;
  onmessage: ((event: any) => void) | null;
  onclose: ((event: any) => void) | null;
  onerror: ((event: any) => void) | null;
}

/** Any frame of the server, not checked. */
export type Frame = Record<string, unknown>;

/** What a session asks of its worker. */
export interface Host {
  hello(): object;
  held(): Held[];
  /** Called once, when the server has welcomed this session. */
  welcomed(session: Session): void;
  serve(session: Session, frame: Frame): void;
  /** Called once. */
  ended(session: Session, code: number, reason: string): void;
}

/** One connection, from its hello to its end. It beats by a timer of its own, whatever
 * handlers await; a handler that blocks the event loop blocks it, too. */
export class Session {
  /** The server drains: nothing new comes. */
  draining = false;
  /** The server has settled something. */
  settled = false;
  welcomedAt: number | undefined;
  beatMs = 0;
  leaseMs = 0;
  #maxFrame = 0;
  #timer: ReturnType<typeof setTimeout>;
  #heard = 0;
  #buffered = 0;
  #stuck = 0;
  #over = false;

  constructor(
    readonly socket: Socket,
    readonly host: Host,
  ) {
    this.#timer = setTimeout(() => this.cut("no welcome"), handshakeMs);
    socket.onopen = () => {
      if (socket.protocol !== protocol) this.close(4400, `the server does not speak ${protocol}`);
      else socket.send(JSON.stringify({ op: "hello", ...host.hello() }));
    };
    socket.onmessage = (event: { data: unknown }) => this.#receive(event.data);
    socket.onclose = (event: { code: number; reason: string }) => this.#end(event.code, event.reason);
    socket.onerror = () => undefined; // a close follows
  }

  /** Sends a frame if the server takes it now; false if it is too large. */
  send(frame: object): boolean {
    if (this.#over || this.welcomedAt === undefined) return true; // the next session sends it
    const text = JSON.stringify(frame);
    if (!this.fits(text)) return false;
    this.socket.send(text);
    return true;
  }

  /** Says whether the server takes a frame of this text. */
  fits(text: string): boolean {
    const max = this.#maxFrame;
    return max <= 0 || text.length * 3 <= max || new TextEncoder().encode(text).length <= max;
  }

  /** Ends the connection with a handshake, or without if that takes too long. */
  close(code = 1000, reason = ""): void {
    if (this.#over) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#end(code, reason), closeMs);
    this.socket.close(code, reason);
  }

  /** Ends the connection at once: the other side is not there. */
  cut(reason: string): void {
    this.#end(1006, reason);
    this.socket.close();
  }

  #receive(data: unknown): void {
    if (this.#over) return;
    this.#heard = performance.now();
    let frame: unknown;
    try {
      frame = JSON.parse(String(data));
    } catch {
      this.close(4400, "a frame has to be a JSON object");
      return;
    }
    if (typeof frame !== "object" || frame === null) return;
    if (this.welcomedAt === undefined) this.#welcome(frame as Frame);
    else this.host.serve(this, frame as Frame);
  }

  #welcome(frame: Frame): void {
    if (frame["op"] !== "welcome" || typeof frame["beat_ms"] !== "number" || !(frame["beat_ms"] > 0)) {
      this.close(4400, "expected welcome with beat_ms");
      return;
    }
    this.beatMs = frame["beat_ms"];
    if (typeof frame["lease_ms"] === "number") this.leaseMs = frame["lease_ms"];
    if (typeof frame["max_frame"] === "number") this.#maxFrame = frame["max_frame"];
    this.welcomedAt = performance.now();
    clearTimeout(this.#timer);
    this.#timer = setInterval(() => this.#beat(), this.beatMs);
    this.host.welcomed(this);
  }

  #beat(): void {
    if (performance.now() - this.#heard > deadBeats * this.beatMs) {
      this.cut("the server is silent");
      return;
    }
    const buffered = this.socket.bufferedAmount;
    this.#stuck = buffered > 0 && buffered >= this.#buffered ? this.#stuck + 1 : 0;
    this.#buffered = buffered;
    if (this.#stuck >= deadBeats) {
      this.cut("the server does not read");
      return;
    }
    this.send({ op: "beat", held: this.host.held() });
  }

  #end(code: number, reason: string): void {
    if (this.#over) return;
    this.#over = true;
    clearTimeout(this.#timer); // of an interval, too
    this.host.ended(this, code, reason);
  }
}
