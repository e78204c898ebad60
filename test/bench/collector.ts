import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as http from "node:http"
import type { AddressInfo } from "node:net"

export interface Collector {
  readonly url: string
  /** What it has got so far. */
  readonly bytes: () => number
}

/** Takes whatever is sent and says thanks, as an OTLP collector does. */
export const collector: Effect.Effect<Collector, never, Scope.Scope> = Effect.gen(function* () {
  let bytes = 0
  const server = http.createServer((request, response) => {
    request.on("data", (chunk: Buffer) => (bytes += chunk.length))
    request.on("end", () => response.end())
  })
  yield* Effect.acquireRelease(
    Effect.promise(() => new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))),
    () =>
      Effect.sync(() => {
        server.closeAllConnections()
        server.close()
      })
  )
  const { port } = server.address() as AddressInfo
  return { url: `http://127.0.0.1:${port}`, bytes: () => bytes }
})
