// Uses openapi-fetch with the types that openapi-typescript makes, against a
// server. Exits with words when an expectation fails.

import createClient from "openapi-fetch";

import type { components, paths } from "./schema.js";

type Message = components["schemas"]["Message"];
type Problem = components["schemas"]["Problem"];
type Submission = components["schemas"]["Submission"];

const patience = 10; // seconds until a message has to have ended

/** An answer that is not a success, as an error to be caught. */
class ProblemError extends Error {
  constructor(readonly problem: Problem) {
    super(`${problem.status} ${problem.code}: ${problem.detail}`);
  }
}

function expect(condition: boolean, words: string): asserts condition {
  if (!condition) throw new Error(`expected ${words}`);
}

/** Returns the data, or throws the problem. */
function must<T>(answer: { data?: T; error?: Problem }): T {
  if (answer.error !== undefined) throw new ProblemError(answer.error);
  expect(answer.data !== undefined, "an answer with data");
  return answer.data;
}

const baseUrl = process.env["ACTIVEMESSAGE_URL"];
expect(baseUrl !== undefined, "ACTIVEMESSAGE_URL");
const api = createClient<paths>({ baseUrl });

async function submit(body: Submission): Promise<string> {
  const data = must(await api.POST("/v1/messages", { body }));
  expect("id" in data, "the answer to one message");
  return data.id;
}

const prefer = { Prefer: `wait=${patience}` };

/** Returns the message when it has ended: one call, which the server holds. */
async function wait(id: string): Promise<Message> {
  const message = must(await api.GET("/v1/messages/{id}", { params: { path: { id }, header: prefer } }));
  expect(message.finished_at !== undefined, `message ${id} to have ended`);
  return message;
}

async function succeed(): Promise<void> {
  const body: Submission = { message_type: "echo", message_data: { user: 42 }, metadata: { tenant: "acme" } };
  const message = must(await api.POST("/v1/messages", { body, params: { header: prefer } }));
  expect("accepted_at" in message, "the message, not its receipt");
  const id = message.id;
  expect(message.state === "succeeded", `success, not ${message.state}`);
  expect(message.metadata?.["tenant"] === "acme", "the metadata back");
  const result = await api.GET("/v1/messages/{id}/result", { params: { path: { id } }, parseAs: "text" });
  expect(result.data === '{"user":42}', `the data back, not ${String(result.data)}`);
  const bytes = must(await api.POST("/v1/handlers/{message_type}", {
    params: { path: { message_type: "count" }, query: { metadata: { tenant: "acme" } }, header: prefer },
  }));
  expect("accepted_at" in bytes && bytes.metadata?.["tenant"] === "acme", "the metadata of bytes back");
}

async function submitBytes(): Promise<void> {
  const data = Uint8Array.of(0, 255);
  const receipt = must(
    await api.POST("/v1/handlers/{message_type}", {
      params: { path: { message_type: "echo" }, query: { priority: 9 } },
      headers: { "Content-Type": "image/png" },
      body: data,
      bodySerializer: (body) => body,
    }),
  );
  expect("id" in receipt, "the answer to one message");
  const message = await wait(receipt.id);
  expect(message.content_type === "image/png" && message.priority === 9, "what was sent");
  const result = await api.GET("/v1/messages/{id}/result", {
    params: { path: { id: receipt.id } },
    parseAs: "arrayBuffer",
  });
  expect(result.data instanceof ArrayBuffer, "bytes");
  expect(Buffer.from(data).equals(Buffer.from(result.data)), "the bytes back");
}

async function listAll(): Promise<void> {
  const seen: string[] = [];
  let cursor: string | undefined;
  do {
    const page = must(
      await api.GET("/v1/messages", {
        params: { query: { state: "succeeded", message_type: "echo", limit: 1, ...(cursor && { cursor }) } },
      }),
    );
    seen.push(...page.messages.map((message) => message.id));
    cursor = page.next;
  } while (cursor !== undefined);
  expect(seen.length === 2 && new Set(seen).size === 2, `two messages on two pages, not ${seen.join()}`);
}

async function cancel(): Promise<void> {
  const id = await submit({ message_type: "sleep", message_data: { duration: "10m" } });
  must(await api.DELETE("/v1/messages/{id}", { params: { path: { id } } }));
  const message = await wait(id);
  expect(message.state === "cancelled", `a cancelled message, not ${message.state}`);
}

async function readProblem(): Promise<void> {
  try {
    await submit({ message_type: "echo", priority: 12 });
  } catch (error) {
    expect(error instanceof ProblemError, `a ProblemError, not ${String(error)}`);
    const { status, code, errors } = error.problem;
    expect(status === 422 && code === "invalid_message", `invalid_message, not ${error.message}`);
    expect(errors?.[0]?.pointer === "/priority", "a pointer at the fault");
    return;
  }
  throw new Error("expected a refusal");
}

/** Never runs: tsc fails if one of these is no error, so nothing is `any`. */
export async function mistakes(problem: Problem, message: Message): Promise<void> {
  // @ts-expect-error: not a code
  problem.code === "odd";
  // @ts-expect-error: not a member
  void problem.reason;
  // @ts-expect-error: not a state
  message.state === "odd";
  // @ts-expect-error: may be absent
  message.error.code;
  // @ts-expect-error: message_type is required
  await api.POST("/v1/messages", { body: { message_data: 1 } });
  // @ts-expect-error: an unknown member
  await submit({ message_type: "echo", messageData: 1 });
  // @ts-expect-error: not a parameter
  await api.GET("/v1/messages", { params: { query: { limits: 1 } } });
}

await succeed();
await submitBytes();
await listAll();
await cancel();
await readProblem();
