import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { freePort } from "./freePort.ts"
import { awaitListening, program } from "./Program.ts"
import { type Done, output } from "./tool.ts"

interface Streams {
  readonly streams: number
  /** From the backend to the client, or the other way. */
  readonly direction: "down" | "up"
  readonly seconds: number
}

interface Report {
  readonly end: { readonly sum_received: { readonly bytes: number; readonly seconds: number } }
}

const LISTEN_POLL_MS = 20

/** So many servers of iperf3, each on a port of its own: one serves one test at a time. */
export const iperfServers = (count: number): Effect.Effect<ReadonlyArray<number>, never, Scope.Scope> =>
  Effect.forEach(
    Array.from({ length: count }),
    Effect.fnUntraced(function* () {
      const port = yield* Effect.promise(freePort)
      const args = ["-s", "-B", "127.0.0.1", "-p", String(port)]
      const child = yield* program("iperf3", args, { stdio: ["ignore", "ignore", "pipe"] })
      yield* awaitListening(child, port, LISTEN_POLL_MS)
      return port
    })
  )

/** Bytes through a port for some time, as fast as they go; its control connection goes through the port as well. */
export const iperf = (port: number, { direction, seconds, streams }: Streams): Effect.Effect<Done> =>
  Effect.gen(function* () {
    const args = ["-c", "127.0.0.1", "-p", String(port), "-P", String(streams), "-t", String(seconds), "-J"]
    const text = yield* output("iperf3", direction === "down" ? [...args, "-R"] : args, seconds)
    const { end } = JSON.parse(text) as Report
    return { pieces: end.sum_received.bytes, ms: end.sum_received.seconds * 1_000 }
  })
