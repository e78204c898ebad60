import * as Effect from "effect/Effect"
import { fileURLToPath } from "node:url"
import { type Done, output } from "./tool.ts"

interface Requests {
  /** At a time. */
  readonly connections: number
  readonly seconds: number
  /** A connection for each request, instead of keeping them. */
  readonly close: boolean
}

const script = fileURLToPath(new URL("./wrk.lua", import.meta.url))

/** HTTP requests through a port, one after the other on each connection. Dies when one of them fails. */
export const wrk = (port: number, { close, connections, seconds }: Requests): Effect.Effect<Done> =>
  Effect.gen(function* () {
    const headers = close ? ["-H", "Connection: close"] : []
    const args = ["-t1", `-c${connections}`, `-d${seconds}`, "-s", script, ...headers, `http://127.0.0.1:${port}/`]
    const text = yield* output("wrk", args, seconds)
    const numbers = /^@@ (.*)$/m.exec(text)?.[1]?.split(" ").map(Number) ?? []
    const [pieces = 0, us = 0, failures = 0, statuses = 0, p50 = 0, p99 = 0] = numbers
    if (pieces === 0 || failures + statuses > 0) return yield* Effect.die(new Error(`wrk: ${text}`))
    return { pieces, ms: us / 1_000, latency: { p50, p99 } }
  })
