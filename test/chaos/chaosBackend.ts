import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { spawn } from "node:child_process"
import { once } from "node:events"
import { fileURLToPath } from "node:url"
import type { Row } from "../support/routingDb.ts"

const node = fileURLToPath(new URL("../../node_modules/.bin/node", import.meta.url))

/** Answers HTTP checks; everybody else gets its name and then the own bytes back, FIN included. */
const program = `
const net = require("node:net")
const [name, host, port] = process.argv.slice(1)
const server = net.createServer({ noDelay: true }, (socket) => {
  let greeted = false
  socket.on("error", () => undefined)
  socket.on("data", (bytes) => {
    if (!greeted && bytes.toString("latin1", 0, 4) === "GET ") {
      return socket.end("HTTP/1.1 200 OK\\r\\nConnection: close\\r\\n\\r\\n")
    }
    if (!greeted) socket.write(name + "\\n")
    greeted = true
    socket.write(bytes)
  })
}).listen({ host, port: Number(port), backlog: 4096 }, () => console.log(server.address().port))
// As programs are updated: nobody new, and those who are there go on to their end.
process.on("SIGTERM", () => server.close(() => process.exit(0)))
`

/** A backend in a process of its own, which can be killed and come back at the same port. */
export interface ChaosBackend {
  readonly name: string
  readonly port: number
  readonly row: (more?: Partial<Row>) => Row
  /** SIGKILL; done when the process is gone. */
  readonly kill: Effect.Effect<void>
  /** SIGTERM: takes nobody any more, ends when those who are there have gone. Done then. */
  readonly retire: Effect.Effect<void>
  readonly start: Effect.Effect<void, never, Scope.Scope>
  readonly signal: (signal: "SIGSTOP" | "SIGCONT") => Effect.Effect<void>
}

/** Where it runs: a network namespace of its own, for one. */
export interface Place {
  readonly address: string
  /** What its command is put behind. */
  readonly through: ReadonlyArray<string>
}

const here: Place = { address: "127.0.0.1", through: [] }

const launch = Effect.fnUntraced(function* (name: string, port: number, { address, through }: Place) {
  // Whatever is put before it becomes it: a signal hits the backend.
  const command = ["exec", ...through, '"$0"', '"$@"'].join(" ")
  const args = ["-c", command, node, "-e", program, name, address, String(port)]
  const child = yield* Effect.acquireRelease(
    Effect.sync(() => spawn("sh", args, { stdio: ["ignore", "pipe", "inherit"] })),
    (child) => Effect.sync(() => child.kill("SIGKILL"))
  )
  const [line]: ReadonlyArray<unknown> = yield* Effect.promise(() => once(child.stdout, "data"))
  return { child, port: Number(String(line)) }
})

/** Starts on a free port, of 127.0.0.1 unless it is elsewhere; it is killed with the scope. */
export const chaosBackend = Effect.fnUntraced(function* (
  name: string,
  place: Place = here
): Effect.fn.Return<ChaosBackend, never, Scope.Scope> {
  const first = yield* launch(name, 0, place)
  const { port } = first
  let child = first.child
  const ended = (signal: NodeJS.Signals) =>
    Effect.promise(async () => {
      const exit = once(child, "exit")
      if (child.kill(signal)) await exit
    })
  return {
    name,
    port,
    row: (more = {}) => ({
      app: "test",
      id: name,
      region: "sa",
      country: "BR",
      wg_ip: place.address,
      port,
      hard_limit: 0,
      ...more
    }),
    kill: ended("SIGKILL"),
    retire: ended("SIGTERM"),
    start: Effect.map(launch(name, port, place), (again) => {
      child = again.child
    }),
    signal: (signal) => Effect.sync(() => void child.kill(signal))
  }
})
