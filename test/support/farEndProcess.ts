import * as net from "node:net"
import type { Endpoint } from "../../src/traffic/Transport.ts"
import type { Errand, Report } from "./farEnd.ts"

/** The program of a far end. */

const RESET_PLEASE = "reset please"

/** Sends back what it gets, FIN included, and resets whoever asks for it. */
const server = net.createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
  socket.on("error", () => undefined)
  socket.on("data", (bytes) => {
    if (bytes.toString("latin1") === RESET_PLEASE) socket.resetAndDestroy()
    else socket.write(bytes)
  })
  socket.on("end", () => socket.end())
})

const clients: Array<net.Socket> = []

const connect = (to: Endpoint): net.Socket => {
  const socket = net.connect({ host: to.address, port: to.port, allowHalfOpen: true, noDelay: true })
  return socket.on("error", () => undefined)
}

/** Does something so many times, so many at once, and counts what came of it. */
const repeat = async (
  count: number,
  atOnce: number,
  life: (index: number, done: (outcome: string) => void) => void
): Promise<Report> => {
  const report: Record<string, number> = {}
  let next = 0
  const lane = async (): Promise<void> => {
    while (next < count) {
      const index = next++
      const outcome = await new Promise<string>((resolve) => life(index, resolve))
      report[outcome] = (report[outcome] ?? 0) + 1
    }
  }
  await Promise.all(Array.from({ length: atOnce }, lane))
  return report
}

type Fate = "finish" | "reset" | "leave" | "be reset"

// Few finish: each of those would stay in the kernel's tables for a minute.
const fates: ReadonlyArray<Fate> = [
  "finish",
  "reset",
  "leave",
  "be reset",
  "reset",
  "leave",
  "be reset",
  "reset",
  "reset",
  "be reset"
]

/** One whole connection. What it was depends on its number: one that is cut must never look like one that was served. */
const live = (to: Endpoint, index: number, done: (outcome: string) => void): void => {
  const fate = fates[index % fates.length]
  const word = fate === "be reset" ? RESET_PLEASE : `connection ${index}`
  const socket = connect(to)
  let answer = ""
  let error: string | undefined
  socket.on("error", (cause: NodeJS.ErrnoException) => (error = cause.code ?? "?"))
  socket.once("connect", () => void (fate === "leave" ? socket.resetAndDestroy() : socket.write(word)))
  socket.on("data", (bytes) => {
    answer += bytes.toString("latin1")
    if (answer.length < word.length) return
    if (fate === "reset") socket.resetAndDestroy()
    else socket.end()
  })
  socket.on("end", () => socket.end())
  socket.on("close", () => {
    if (error !== undefined) done(error === "ECONNRESET" || error === "EPIPE" ? "cut" : error)
    else if (fate === "leave") done("left")
    else done(answer === word && fate !== "be reset" ? "served" : "wrong")
  })
}

const ping = (socket: net.Socket, word: string, done: (outcome: string) => void): void => {
  let answer = ""
  const onClose = (): void => done("closed")
  const onData = (bytes: Buffer): void => {
    answer += bytes.toString("latin1")
    if (answer.length < word.length) return
    socket.off("data", onData)
    socket.off("close", onClose)
    done(answer === word ? "answered" : "wrong")
  }
  socket.on("data", onData)
  socket.once("close", onClose)
  socket.write(word)
}

const AT_ONCE = 100

const run = (errand: Errand): Promise<Report> => {
  switch (errand.do) {
    case "connect":
      return repeat(errand.count, AT_ONCE, (_, done) => {
        const socket = connect(errand.to)
        clients.push(socket)
        socket.once("connect", () => done("connected"))
        socket.once("error", ({ message }) => done(message))
      })
    case "ping": {
      const { every, first } = errand
      const asked = clients.slice(0, first).filter((_, index) => index % every === 0)
      return repeat(asked.length, AT_ONCE, (index, done) => {
        const socket = asked[index]
        if (socket === undefined || socket.destroyed) done("closed")
        else ping(socket, `ping ${index}`, done)
      })
    }
    case "leave":
      return repeat(clients.length, clients.length, (index, done) => {
        const socket = clients[index]
        if (socket === undefined || socket.destroyed) return done("closed before")
        socket.on("close", () => done("left"))
        socket.resetAndDestroy()
      })
    case "live":
      return repeat(errand.count, AT_ONCE, (index, done) => live(errand.to, index, done))
  }
}

process.on("message", (errand: Errand) => void run(errand).then((report) => process.send?.(report)))
process.on("disconnect", () => process.exit())
server.listen({ host: "127.0.0.1", port: 0, backlog: 4_096 }, () => process.send?.(server.address()))
