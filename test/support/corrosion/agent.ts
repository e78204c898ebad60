import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { readFileSync } from "node:fs"
import { createServer } from "node:http"
import { parseArgs } from "node:util"
import { empty, json, readBody, send, text } from "./answer.ts"
import { Command } from "./Command.ts"
import { make } from "./FakeAgent.ts"
import type { FakeAgent } from "./FakeAgent.ts"

/**
 * The agent as a program. It prints one line of JSON when it listens: the URL of its API, and the URL of another server
 * that takes commands (`POST /control`) and tells what the agent has and was asked (`GET /state`). SIGTERM and SIGINT
 * shut it down in order.
 */
const { values } = parseArgs({
  options: {
    schema: { type: "string", multiple: true, default: [] },
    db: { type: "string" },
    port: { type: "string", default: "0" },
    peer: { type: "string", multiple: true, default: [] },
    token: { type: "string" },
    "endpoint-name": { type: "string" },
    "tick-ms": { type: "string", default: "600" },
    "delay-ms": { type: "string", default: "0" }
  }
})

const decode = Schema.decodeUnknownSync(Command)

const state = (agent: FakeAgent): unknown => ({
  actor_id: agent.actorId,
  subscriptions: agent.subscriptions(),
  requests: agent.requests().map(({ endpoint, method, status, url }) => ({ endpoint, method, url, status: status() }))
})

const control = (agent: FakeAgent): Promise<string> => {
  const server = createServer((request, response) => {
    if (request.method === "GET") return send(response, json(200, state(agent)))
    readBody(request)
      .then((body) => Effect.runPromise(agent.control(decode(JSON.parse(body)))))
      .then(
        () => send(response, empty(200)),
        (cause: unknown) => send(response, text(400, String(cause)))
      )
  })
  return new Promise((resolve) => {
    server.listen(0, "127.0.0.1", () => {
      const address = server.address()
      resolve(`http://127.0.0.1:${typeof address === "object" && address !== null ? address.port : 0}`)
    })
  })
}

const terminated = Effect.callback<void>((resume) => {
  for (const signal of ["SIGTERM", "SIGINT"]) process.once(signal, () => resume(Effect.void))
})

const program = Effect.gen(function* () {
  const agent = yield* make({
    schema: values.schema.map((file) => readFileSync(file, "utf8")).join(";"),
    port: Number(values.port),
    tickMs: Number(values["tick-ms"]),
    delayMs: Number(values["delay-ms"]),
    ...(values.db === undefined ? {} : { path: values.db }),
    ...(values.token === undefined ? {} : { token: values.token }),
    ...(values["endpoint-name"] === undefined ? {} : { endpointName: values["endpoint-name"] })
  })
  if (agent.schemaError !== undefined) process.stderr.write(`could not execute schema: ${agent.schemaError}\n`)
  for (const peer of values.peer) yield* agent.control({ do: "link", peer })
  const controlUrl = yield* Effect.promise(() => control(agent))
  process.stdout.write(`${JSON.stringify({ url: agent.url, control: controlUrl, actor_id: agent.actorId })}\n`)
  yield* terminated
})

await Effect.runPromise(Effect.scoped(program))
process.exit()
