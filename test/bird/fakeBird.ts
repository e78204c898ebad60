import * as Effect from "effect/Effect"
import * as net from "node:net"
import { join } from "node:path"
import { scratch } from "../support/EdgeProcess.ts"

export interface FakeBird {
  readonly path: string
  /** What it was told, the question for protocols aside. */
  readonly told: ReadonlyArray<string>
  readonly connections: () => number
  readonly open: () => number
}

export interface Behaviour {
  readonly greeting?: string
  /** What it says to a command; undefined says nothing. */
  readonly answer?: (command: string, socket: net.Socket) => string | undefined
}

/** Protocols and whether they are on, as `show protocols` has them. */
export const table = (protocols: Readonly<Record<string, boolean>>): string => {
  const rows = Object.entries(protocols).map(
    ([name, on]) => `${name} Static     master4    ${on ? "up" : "down"}   17:05:15.020  `
  )
  return `2002-Name       Proto      Table      State  Since         Info\n1002-${rows.join("\n ")}\n0000 \n`
}

/** A control socket with some BIRD or none behind it. */
export const fakeBird = Effect.fnUntraced(function* ({
  answer = () => "0000 \n",
  greeting = "0001 BIRD 2.0.12 ready.\n"
}: Behaviour) {
  const path = join(yield* scratch, "bird.ctl")
  const told: Array<string> = []
  const sockets = new Set<net.Socket>()
  let connections = 0
  const server = net.createServer((socket) => {
    connections++
    sockets.add(socket)
    socket.on("close", () => sockets.delete(socket))
    socket.on("error", () => undefined)
    socket.write(greeting)
    let rest = ""
    socket.setEncoding("latin1").on("data", (part: string) => {
      const lines = (rest + part).split("\n")
      rest = lines.pop() ?? ""
      for (const line of lines) {
        if (!line.startsWith("show")) told.push(line)
        const reply = answer(line, socket)
        if (reply !== undefined) socket.write(reply)
      }
    })
  })
  yield* Effect.acquireRelease(
    Effect.callback<void>((resume) => void server.listen(path, () => resume(Effect.void))),
    () =>
      Effect.callback<void>((resume) => {
        for (const socket of sockets) socket.destroy()
        server.close(() => resume(Effect.void))
      })
  )
  const fake: FakeBird = { path, told, connections: () => connections, open: () => sockets.size }
  return fake
})

/** One that behaves, with these protocols. */
export const goodBird = (protocols: Record<string, boolean>): Behaviour => ({
  answer: (command) => {
    if (command.startsWith("show protocols")) return table(protocols)
    const [, verb = "", name = ""] = /^(enable|disable) "(\w+)"$/.exec(command) ?? []
    if (!(name in protocols)) return "8003 No protocols match\n"
    protocols[name] = verb === "enable"
    return `${verb === "enable" ? "0011" : "0009"}-${name}: ${verb}d\n0000 \n`
  }
})
