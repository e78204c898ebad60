import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { once } from "node:events"
import { Worker } from "node:worker_threads"
import type { Endpoint } from "../../src/traffic/Transport.ts"
import * as Watch from "./Watch.ts"

/** Whose turn it is, in shared memory. */
const OURS = 0
const THEIRS = 1
const DONE = 2

// Connects; every second client resets, after it has said something or not; the others say their number and tell what they get.
const program = `
const { parentPort, workerData: { to, count, gate } } = require("node:worker_threads")
const net = require("node:net")
const { existsSync, readFileSync } = require("node:fs")
const tables = ["/proc/net/tcp", "/proc/net/tcp6"].filter((table) => existsSync(table))
// A busy kernel delivers resets a little later than they are sent.
const areReset = (ports) =>
  !tables.some((table) =>
    readFileSync(table, "latin1").split("\\n").some((line) => {
      const [, local, remote, state] = line.trim().split(/ +/)
      return state === "01" && Number.parseInt(local.slice(-4), 16) === to.port && ports.has(Number.parseInt(remote.slice(-4), 16))
    })
  )
const turn = new Int32Array(gate)
parentPort.postMessage("ready")
Atomics.wait(turn, 0, ${OURS})
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
      const leaving = sockets.filter((_, index) => index % 2 === 1)
      const ports = new Set(leaving.map(({ localPort }) => localPort))
      leaving.forEach((socket) => socket.resetAndDestroy())
      const look = () => {
        if (!areReset(ports)) return setTimeout(look, 1)
        Atomics.store(turn, 0, ${DONE})
        Atomics.notify(turn, 0)
      }
      setImmediate(look)
    })
  })
  return socket
})
`

const LONGEST_MS = 15_000

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
    const turn = new Int32Array(gate)
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
    Atomics.store(turn, 0, THEIRS)
    Atomics.notify(turn, 0)
    if (Atomics.wait(turn, 0, THEIRS, LONGEST_MS) === "timed-out") {
      return yield* Effect.die(new Error("the clients have not connected in time"))
    }
    return { heard: () => heard, watch }
  })
