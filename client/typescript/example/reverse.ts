// An example of a worker: it turns texts round, slowly, and tells how far it is. The same
// in Go is client/reverse.
//
//   npm install && npm run build && npx tsc -p tsconfig.test.json
//   node out/example/reverse.js http://127.0.0.1:8080

import { HandlerError, permanent, startWorker, type Job } from "@activemessage/worker";
import WebSocket from "ws"; // Node has one of its own since version 22

const worker = startWorker({
  url: process.argv[2] ?? "http://127.0.0.1:8080",
  handlers: { reverse },
  policies: { reverse: { timeout: "1m", max_attempts: 3 } },
  connect: (url, protocol) => new WebSocket(url, protocol),
});

for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.once(signal, () => void worker.close());
}

/** Takes a text of at most 1,000 characters, a tenth of it at a time. */
async function reverse(job: Job): Promise<string> {
  if (typeof job.data !== "string") throw permanent(new HandlerError("invalid_data", "message_data: it is no text"));
  const letters = [...job.data];
  if (letters.length > 1000) throw permanent(new HandlerError("too_long", "at most 1,000 characters"));
  for (let done = 0; done < 10; done++) {
    job.progress(done / 10, `${done} of 10`);
    await new Promise((resolve) => setTimeout(resolve, 20)); // hard work
    job.signal.throwIfAborted();
  }
  return letters.reverse().join("");
}
