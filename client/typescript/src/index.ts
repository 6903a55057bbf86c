export { HandlerError, permanent, retryAfter, snooze, StopError, UnsettledError } from "./errors.js";
export type { StopReason } from "./errors.js";
export { Bytes } from "./job.js";
export type { Handler, Job } from "./job.js";
export { startWorker } from "./worker.js";
export type { Log, Policy, Socket, Worker, WorkerOptions } from "./worker.js";
