import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { once } from "node:events"
import { Worker } from "node:worker_threads"
import type { Endpoint } from "../../src/traffic/Transport.ts"
import * as Watch from "./Watch.ts"

// Connects; every second client resets, after it has said something or not; the others say their number and tell what they get.
const program = `
const { parentPort, workerData: { to, count, gate } } = require("node:worker_threads")
const net = require("node:net")
parentPort.once("message", () => {
  let connected = 0
  const sockets = Array.from({ length: count }, (_, index) => {
    const socket = net.connect({ host: to.address, port: to.port, allowHalfOpen: true })
    socket.on("error", () => undefined)
    socket.on("data", (bytes) => parentPort.postMessage(String(bytes)))
    socket.once("connect", () => {
      connected++
      if (index % 2 === 0) socket.write("survivor " + index + ";")
      else if (index % 4 === 1) socket.write("lost " + index + ";")
      if (connected < count) return
      setImmediate(() => {
        sockets.forEach((socket, index) => index % 2 === 1 && socket.resetAndDestroy())
        setImmediate(() => {
          Atomics.store(new Int32Array(gate), 0, 1)
          Atomics.notify(new Int32Array(gate), 0)
        })
      })
    })
    return socket
  })
})
parentPort.postMessage("ready")
`

const LONGEST_MS = 5_000

/**
 * While this thread stands still, `count` clients connect and every second of them resets: for an engine on this thread all
 * of that happens in the listener's backlog. Then the survivors, which have said `survivor <number>;`, tell what they get.
 */
export const inBacklog = (
  to: Endpoint,
  count: number
): Effect.Effect<{ readonly heard: () => string; readonly watch: Watch.Watch }, never, Scope.Scope> =>
  Effect.gen(function* () {
    const gate = new SharedArrayBuffer(4)
    const worker = yield* Effect.acquireRelease(
      Effect.sync(() => new Worker(program, { eval: true, workerData: { to, count, gate } })),
      (worker) => Effect.promise(() => worker.terminate())
    )
    yield* Effect.promise(() => once(worker, "message"))
    const watch = Watch.make()
    let heard = ""
    worker.on("message", (text: string) => {
      heard += text
      watch.touch()
    })
    worker.postMessage("go")
    if (Atomics.wait(new Int32Array(gate), 0, 0, LONGEST_MS) === "timed-out") {
      return yield* Effect.die(new Error("the clients have not connected in time"))
    }
    return { heard: () => heard, watch }
  })
