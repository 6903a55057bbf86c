// Runs workers against a scripted server. Exits with words when an expectation fails.

import {
  Bytes, HandlerError, permanent, retryAfter, snooze, startWorker, StopError, UnsettledError,
  type Handler, type Job, type WorkerOptions,
} from "@activemessage/worker";
import WebSocket from "ws";

import { expect, Server, type Frame, type Peer } from "./server.js";

const said: string[] = []; // by the log

async function withWorker(
  options: Partial<WorkerOptions> & { work?: Handler },
  script: (peer: Peer, server: Server, worker: ReturnType<typeof startWorker>, hello: Frame) => Promise<void>,
): Promise<void> {
  const server = await Server.listen();
  const worker = startWorker({
    url: server.url,
    handlers: { work: options.work ?? ((job) => job.data) },
    connect: (url, protocol) => new WebSocket(url, protocol),
    log: (level, text) => void said.push(`${level} ${text}`),
    ...options,
  });
  const { peer, hello } = await server.accept();
  await script(peer, server, worker, hello);
  await worker.close();
  await server.close();
}

/** A promise and what resolves it. */
function gate<T = void>(): { promise: Promise<T>; open: (value: T) => void } {
  let open: (value: T) => void = () => undefined;
  const promise = new Promise<T>((resolve) => (open = resolve));
  return { promise, open };
}

const text = (frame: Frame): string => Buffer.from(String(frame["data_base64"]), "base64").toString();

async function succeeds(): Promise<void> {
  const jobs: Job[] = [];
  const work: Handler = (job) => {
    jobs.push(job);
    if (job.data instanceof Uint8Array) return new Bytes(job.data, "image/png");
    return job.data;
  };
  await withWorker({ work, window: 3, policies: { work: { timeout: "1m" } } }, async (peer, _server, _worker, hello) => {
    expect(JSON.stringify(hello["types"]) === '[{"message_type":"work","policy":{"timeout":"1m"}}]' && hello["window"] === 3, "a hello");
    expect(JSON.stringify(hello["held"]) === "[]" && String(hello["instance"]).length === 32, "an instance that holds nothing");
    peer.job("a", { message_data: { n: "é" }, content_type: "application/json", metadata: { tenant: "acme" }, key: "k", new: 1 });
    await peer.next("ack");
    const done = await peer.next("done");
    expect(text(done) === '{"n":"é"}' && done["content_type"] === "application/json", `the data back, not ${text(done)}`);
    peer.settled(done);
    const big = Buffer.alloc(500, 255);
    peer.job("b", { message_data_base64: big.toString("base64") });
    await peer.next("ack");
    const bytes = await peer.next("done");
    expect(bytes["data_base64"] === big.toString("base64") && bytes["content_type"] === "image/png", "the bytes back");
    peer.settled(bytes);
    peer.job("c");
    await peer.next("ack");
    const nothing = await peer.next("done");
    expect(!("data_base64" in nothing), "no data");
    peer.settled(nothing);
    expect(jobs[0]?.key === "k" && jobs[0].metadata["tenant"] === "acme" && jobs[0].maxAttempts === 3, "the job's members");
  });
}

async function fails(): Promise<void> {
  const kinds: [unknown, string][] = [
    [new Error("secret"), "handler_failed: handler failed, retry"],
    ["secret", "handler_failed: handler failed, retry"],
    [new HandlerError("odd", "no such user"), "odd: no such user, retry"],
    [permanent(new HandlerError("bad", "no")), "bad: no, permanent"],
    [permanent(new Error("secret")), "handler_failed: handler failed, permanent"],
    [retryAfter(1500, new Error("secret")), "handler_failed: handler failed, retry after 1500"],
    [snooze(60_000), "handler_failed: handler failed, snooze after 60000"],
  ];
  for (const [thrown, want] of kinds) {
    await withWorker({ work: () => { throw thrown; } }, async (peer) => {
      peer.job("a");
      await peer.next("ack");
      const fail = await peer.next("fail");
      const after = fail["after_ms"] === undefined ? "" : ` after ${String(fail["after_ms"])}`;
      const got = `${String(fail["code"])}: ${String(fail["message"])}, ${String(fail["kind"])}${after}`;
      expect(got === want, `${want}, not ${got}`);
      peer.settled(fail);
    });
  }
  await withWorker({ work: () => "x".repeat(1000) }, async (peer) => {
    peer.job("a");
    await peer.next("ack");
    const fail = await peer.next("fail");
    expect(fail["code"] === "result_too_large" && fail["kind"] === "permanent", "a result that is too large");
    peer.settled(fail);
  });
}

/** Held and unsettled leases outlive the connection. */
async function resumes(): Promise<void> {
  const hold = gate();
  const work: Handler = async (job) => {
    if (job.id === "runs") {
      job.save({ at: 7 });
      job.progress(0.5, "half");
      await hold.promise;
    }
    return job.id;
  };
  await withWorker({ work }, async (first, server) => {
    first.job("ends");
    first.job("runs");
    await first.next("ack");
    await first.next("ack");
    for (const op of [await first.frames.next(), await first.frames.next(), await first.frames.next()].map((f) => f.op)) {
      expect(["done", "save", "progress"].includes(op), op);
    }
    first.socket.terminate();
    const { peer, hello } = await server.accept();
    expect(JSON.stringify(hello["held"]) === '[{"id":"ends","lease":1},{"id":"runs","lease":1}]', `both held, not ${JSON.stringify(hello)}`);
    const done = await peer.next("done");
    expect(text(done) === '"ends"', "the result again");
    expect(text(await peer.next("save")) === '{"at":7}', "the checkpoint again");
    expect((await peer.next("progress"))["note"] === "half", "the progress again");
    peer.settled(done);
    peer.job("runs"); // its ack was lost: it is told again, and not run twice
    await peer.next("ack");
    hold.open();
    peer.settled(await peer.next("done"));
  });
}

/** Beats are no business of handlers; a silent server is left. */
async function beats(): Promise<void> {
  const hold = gate();
  await withWorker({ work: () => hold.promise }, async (first, server) => {
    first.job("a");
    await first.next("ack");
    for (let i = 0; i < 10; i++) {
      const beat = await first.beats.next();
      expect(i < 1 || JSON.stringify(beat["held"]) === '[{"id":"a","lease":1}]', `a beat with the lease, not ${JSON.stringify(beat)}`);
    }
    first.mute = true;
    const { peer, hello } = await server.accept();
    expect(JSON.stringify(hello["held"]) === '[{"id":"a","lease":1}]', "the lease to be held");
    hold.open();
    peer.settled(await peer.next("done"));
  });
}

async function stops(): Promise<void> {
  const work: Handler = (job) =>
    new Promise((_, reject) => job.signal.addEventListener("abort", () => reject(job.signal.reason as Error)));
  await withWorker({ work }, async (peer) => {
    for (const [reason, code, kind] of [
      ["cancelled", "cancelled", "retry"],
      ["timeout", "timeout", "retry"],
      ["drain", "handler_failed", "snooze"],
      ["stale", "stale", "retry"],
    ]) {
      peer.job("a");
      await peer.next("ack");
      if (reason === "stale") peer.send({ op: "beat", stop: [{ id: "a", lease: 1, reason }] });
      else peer.send({ op: "stop", id: "a", lease: 1, reason });
      const fail = await peer.next("fail");
      expect(fail["code"] === code && fail["kind"] === kind, `${code}, not ${JSON.stringify(fail)}`);
      peer.settled(fail, { stale: reason === "stale" });
    }
    peer.job("b", { deadline: new Date(Date.now() + 30).toISOString() });
    await peer.next("ack");
    const fail = await peer.next("fail");
    expect(fail["code"] === "timeout", "a timeout");
    peer.settled(fail);
  });
}

async function bounds(): Promise<void> {
  const gates = [gate(), gate(), gate()];
  let running = 0;
  await withWorker({ window: 1, work: (job) => gates[running++]?.promise.then(() => job.id) }, async (peer) => {
    for (const id of ["0", "1", "2"]) peer.job(id); // one runs, one waits, one is too much
    await peer.next("ack");
    await peer.beats.next();
    await peer.beats.next();
    expect(peer.frames.size === 0 && running === 1, "one job to run");
    gates[0]?.open();
    await peer.next("ack");
    peer.settled(await peer.next("done"));
    gates[1]?.open();
    const done = await peer.next("done");
    expect(done["id"] === "1", "the one that waited");
    peer.settled(done);
  });
}

async function drains(): Promise<void> {
  const hold = gate();
  await withWorker({ work: () => hold.promise }, async (peer, _server, worker) => {
    peer.job("a");
    await peer.next("ack");
    const closed = worker.close();
    await peer.next("drain");
    peer.job("late");
    await peer.next("ack");
    const back = await peer.next("fail");
    expect(back["kind"] === "snooze" && back["after_ms"] === 0, "the late job handed back");
    peer.settled(back);
    hold.open();
    peer.settled(await peer.next("done"));
    await closed;
    expect((await peer.closed) === 1000, "a close");
  });
  await withWorker({ drainMs: 10, work: (job) => new Promise((_, reject) => job.signal.addEventListener("abort", () => reject(job.signal.reason as Error))) },
    async (peer, _server, worker) => {
      peer.job("a");
      await peer.next("ack");
      const closed = worker.close();
      await peer.next("drain");
      const back = await peer.next("fail");
      expect(back["kind"] === "snooze", "the interrupted job handed back");
      peer.settled(back);
      await closed;
    });
  // The server drains: the worker finishes, leaves, and comes back.
  const other = gate();
  await withWorker({ work: () => other.promise }, async (first, server) => {
    first.job("a");
    await first.next("ack");
    first.send({ op: "drain", within_ms: 30_000 });
    other.open();
    first.settled(await first.next("done"));
    expect((await first.closed) === 1000, "a close");
    await server.accept();
  });
}

function refusesOptions(): void {
  const handlers = { work: (job: Job) => job.data };
  for (const [options, words] of [
    [{ url: "server:8080", handlers }, "url"],
    [{ url: "http://server", handlers: {} }, "handlers"],
    [{ url: "http://server", handlers, window: 0 }, "window"],
    [{ url: "http://server", handlers }, "WebSocket"], // Node 20 has none; with 22 it would connect
  ] as [WorkerOptions, string][]) {
    if (words === "WebSocket" && "WebSocket" in globalThis) continue;
    try {
      startWorker(options);
    } catch (error) {
      expect(error instanceof TypeError && error.message.includes(words), `words about ${words}, not ${String(error)}`);
      continue;
    }
    throw new Error(`expected a TypeError for ${words}`);
  }
  expect(new UnsettledError(1, 2).message.includes("1 handlers") && new StopError("timeout").reason === "timeout", "errors with words");
}

for (const test of [succeeds, fails, resumes, beats, stops, bounds, drains]) {
  await test();
  console.log(test.name);
}
refusesOptions();
expect(said.some((line) => line.includes("secret")) === false, "no secrets as text"); // they are the log's detail
