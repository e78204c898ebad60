import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { once } from "node:events"
import * as net from "node:net"
import { Worker } from "node:worker_threads"
import type { Endpoint } from "../../src/traffic/Transport.ts"

// Listens, tells its port, and then blocks its thread, so that nobody accepts.
const program = `
const { parentPort, workerData } = require("node:worker_threads")
const server = require("node:net").createServer()
server.listen({ host: workerData.host, port: 0, backlog: 1 }, () => {
  parentPort.postMessage(server.address().port)
  Atomics.wait(new Int32Array(workerData.gate), 0, 0)
  server.close()
})
`

// Linux takes one more than the backlog.
const QUEUE = 2

/**
 * A loopback address that answers no SYN: its accept queue is full and nobody empties it, so the kernel drops what comes.
 */
export const blackHole = (host = "127.0.0.1"): Effect.Effect<Endpoint, never, Scope.Scope> =>
  Effect.gen(function* () {
    const gate = new SharedArrayBuffer(4)
    const worker = yield* Effect.acquireRelease(
      Effect.sync(() => new Worker(program, { eval: true, workerData: { host, gate } })),
      (worker) =>
        Effect.promise(async () => {
          Atomics.store(new Int32Array(gate), 0, 1)
          Atomics.notify(new Int32Array(gate), 0)
          await worker.terminate()
        })
    )
    const [port]: Array<number> = yield* Effect.promise(() => once(worker, "message"))
    const endpoint = { address: host, port: port ?? 0 }
    for (let filled = 0; filled < QUEUE; filled++) {
      yield* Effect.acquireRelease(
        Effect.promise(async () => {
          const socket = net.connect(endpoint.port, host)
          await once(socket, "connect")
          return socket.on("error", () => undefined)
        }),
        (socket) => Effect.sync(() => socket.destroy())
      )
    }
    return endpoint
  })
