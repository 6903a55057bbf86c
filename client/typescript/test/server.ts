// A scripted server of the worker protocol.

import { once } from "node:events";
import type { AddressInfo } from "node:net";

import WebSocket, { WebSocketServer } from "ws";

export type Frame = Record<string, unknown> & { op: string };

export function expect(condition: boolean, words: string): asserts condition {
  if (!condition) throw new Error(`expected ${words}`);
}

/** A queue that can be awaited. */
class Queue<T> {
  #items: T[] = [];
  #waiting: ((item: T) => void)[] = [];

  push(item: T): void {
    const waiting = this.#waiting.shift();
    if (waiting === undefined) this.#items.push(item);
    else waiting(item);
  }

  next(): Promise<T> {
    const item = this.#items.shift();
    return item === undefined ? new Promise((resolve) => this.#waiting.push(resolve)) : Promise.resolve(item);
  }

  get size(): number {
    return this.#items.length;
  }
}

/** The server's end of a connection. */
export class Peer {
  readonly frames = new Queue<Frame>(); // all but beats
  readonly beats = new Queue<Frame>();
  readonly closed: Promise<number>;
  mute = false; // beats are not answered

  constructor(readonly socket: WebSocket) {
    this.closed = once(socket, "close").then(([code]) => code as number);
    socket.on("message", (data) => {
      const frame = JSON.parse(String(data)) as Frame;
      if (frame.op !== "beat") {
        this.frames.push(frame);
        return;
      }
      this.beats.push(frame);
      if (!this.mute) this.send({ op: "beat" });
    });
  }

  send(frame: Frame): void {
    this.socket.send(JSON.stringify(frame));
  }

  /** The next frame that is no beat, which has to be of this op. */
  async next(op: string): Promise<Frame> {
    const frame = await this.frames.next();
    expect(frame.op === op, `${op}, not ${JSON.stringify(frame)}`);
    return frame;
  }

  job(id: string, members: object = {}): void {
    this.send({ op: "job", id, lease: 1, message_type: "work", attempt: 1, max_attempts: 3, ...members });
  }

  settled(frame: Frame, members: object = {}): void {
    this.send({ op: "settled", id: frame["id"], lease: frame["lease"], ...members });
  }
}

export class Server {
  readonly peers = new Queue<Peer>();
  readonly #sockets: WebSocketServer;

  private constructor(sockets: WebSocketServer) {
    this.#sockets = sockets;
    sockets.on("connection", (socket) => this.peers.push(new Peer(socket)));
  }

  static async listen(port = 0): Promise<Server> {
    const sockets = new WebSocketServer({ port, host: "127.0.0.1", path: "/v1/work" });
    await once(sockets, "listening");
    return new Server(sockets);
  }

  get port(): number {
    return (this.#sockets.address() as AddressInfo).port;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  /** The next connection, after its hello was answered. */
  async accept(welcome: object = {}): Promise<{ peer: Peer; hello: Frame }> {
    const peer = await this.peers.next();
    const hello = await peer.next("hello");
    peer.send({ op: "welcome", session: "s", beat_ms: 50, lease_ms: 300, offer_ms: 50, max_frame: 1000, ...welcome });
    return { peer, hello };
  }

  async close(): Promise<void> {
    for (const client of this.#sockets.clients) client.terminate();
    const closed = once(this.#sockets, "close");
    this.#sockets.close();
    await closed;
  }
}
