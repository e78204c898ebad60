import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { spawn } from "node:child_process"
import { once } from "node:events"
import { fileURLToPath } from "node:url"
import type { Endpoint } from "../../src/traffic/Transport.ts"

const node = fileURLToPath(new URL("../../node_modules/.bin/node", import.meta.url))

/**
 * Answers an HTTP request, and whoever says nothing of HTTP gets its own bytes back after the greeting, which comes at once
 * or, with `http`, not at all: a greeting is no status line.
 */
const program = `
const net = require("node:net")
const [name, port, speaks] = process.argv.slice(1)
net.createServer((socket) => {
  socket.on("error", () => undefined)
  if (speaks === "greeting") socket.write(name + "\\n")
  socket.on("data", (bytes) => {
    const isHttp = bytes.toString("latin1").startsWith("GET ")
    if (isHttp) socket.end("HTTP/1.1 200 OK\\r\\nConnection: close\\r\\n\\r\\n")
    else socket.write(speaks === "http" ? name + "\\n" : bytes)
  })
}).listen({ host: "127.0.0.1", port: Number(port) }, function () { console.log(this.address().port) })
`

/** A backend in a process of its own, which signals can hit. */
export interface BackendProcess {
  readonly endpoint: Endpoint
  /** Completes, for SIGKILL, when the process is gone. */
  readonly signal: (signal: "SIGKILL" | "SIGSTOP" | "SIGCONT") => Effect.Effect<void>
}

/** Port 0 is any free one. It is killed with the scope. */
export const backendProcess = Effect.fnUntraced(function* (
  name: string,
  options: { readonly port?: number; readonly speaks?: "greeting" | "http" } = {}
): Effect.fn.Return<BackendProcess, never, Scope.Scope> {
  const args = ["-e", program, name, String(options.port ?? 0), options.speaks ?? "greeting"]
  const child = yield* Effect.acquireRelease(
    Effect.sync(() => spawn(node, args, { stdio: ["ignore", "pipe", "inherit"] })),
    (child) => Effect.sync(() => child.kill("SIGKILL"))
  )
  const [line]: ReadonlyArray<unknown> = yield* Effect.promise(() => once(child.stdout, "data"))
  const kill = Effect.promise(async () => {
    const exit = once(child, "exit")
    if (child.kill("SIGKILL")) await exit
  })
  return {
    endpoint: { address: "127.0.0.1", port: Number(String(line)) },
    signal: (signal) => (signal === "SIGKILL" ? kill : Effect.sync(() => void child.kill(signal)))
  }
})
