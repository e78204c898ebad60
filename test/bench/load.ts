import * as net from "node:net"
import * as tls from "node:tls"
import type { Answer, Handshake, Task } from "./Task.ts"

/** The load generator, a process of its own: does one task at a time as its parent asks. */
const message = Buffer.alloc(64, "e")
const CLIENTS = 20_000
const TASK_LIMIT_MS = 60_000

// Many clients, as far as loopback allows: each has an address of its own, so geo, affinity and choice have their work.
let next = 0
const clientAddress = (): string => {
  const client = next++ % CLIENTS
  return `127.1.${client >>> 8}.${client & 255}`
}

/** What a server has given, by its port. */
const sessions = new Map<number, Buffer>()

const connect = (port: number, handshake: Handshake | undefined): net.Socket => {
  const to = { host: "127.0.0.1", port, localAddress: clientAddress(), noDelay: true, allowHalfOpen: true }
  if (handshake === undefined) return net.connect(to)
  const session = handshake === "resumed" ? sessions.get(port) : undefined
  const socket = tls.connect({
    ...to,
    rejectUnauthorized: false,
    minVersion: "TLSv1.3",
    ecdhCurve: "P-256",
    ...(session === undefined ? {} : { session })
  })
  if (handshake === "resumed") socket.on("session", (given: Buffer) => sessions.set(port, given))
  socket.once("secureConnect", () => {
    if (session !== undefined && !socket.isSessionReused()) socket.destroy(new Error("a session was not resumed"))
  })
  return socket
}

const opened = (socket: net.Socket): string => (socket instanceof tls.TLSSocket ? "secureConnect" : "connect")

const closed = (socket: net.Socket): Promise<void> =>
  new Promise((resolve, reject) => {
    socket.once("error", reject)
    socket.once("close", () => resolve())
  })

/** One exchange, then whatever `then` does. */
const exchange = (socket: net.Socket, then: () => void, first = ""): void => {
  let missing = message.length
  const said = first === "" ? message : Buffer.concat([Buffer.from(first, "hex"), message])
  socket.once(opened(socket), () => socket.write(said))
  socket.on("data", (chunk) => {
    const waited = missing > 0
    missing -= chunk.length
    // What a proxy has put before it comes back too.
    if (waited && missing <= 0) then()
  })
}

const connection = async (port: number, first: string | undefined, handshake?: Handshake): Promise<void> => {
  const socket = connect(port, handshake)
  let done = false
  exchange(
    socket,
    () => {
      done = true
      socket.end()
    },
    first
  )
  socket.once("end", () => socket.end())
  await closed(socket)
  if (!done) throw new Error("a connection was closed before its answer")
}

const chunk = Buffer.alloc(262_144, "b")

const bulk = async (port: number, bytes: number, first: string, handshake?: Handshake): Promise<void> => {
  const socket = connect(port, handshake)
  let left = bytes
  const send = (): void => {
    while (left > 0) {
      const part = left < chunk.length ? chunk.subarray(0, left) : chunk
      left -= part.length
      if (!socket.write(part)) return
    }
    socket.end()
  }
  const opening = Buffer.from(first, "hex")
  let got = 0
  socket.once(opened(socket), () => {
    socket.write(opening)
    send()
  })
  socket.on("drain", send)
  socket.on("data", (part) => (got += part.length))
  await closed(socket)
  if (got !== bytes + opening.length) throw new Error(`${got} bytes came back of ${bytes + opening.length}`)
}

const held: Array<net.Socket> = []

const hold = (port: number, handshake?: Handshake): Promise<void> =>
  new Promise((resolve, reject) => {
    const socket = connect(port, handshake)
    held.push(socket)
    socket.once("error", reject)
    socket.once("close", () => reject(new Error("an idle connection was closed")))
    exchange(socket, resolve)
  })

const release = async (): Promise<void> => {
  const sockets = held.splice(0)
  await Promise.all(
    sockets.map((socket) => {
      socket.removeAllListeners("close").removeAllListeners("error")
      const end = closed(socket).catch(() => undefined)
      // Node resets no TLS.
      if (socket instanceof tls.TLSSocket) socket.destroy()
      else socket.resetAndDestroy()
      return end
    })
  )
}

/** Works off `count` pieces, so many at a time. */
const pool = async (count: number, workers: number, piece: () => Promise<void>): Promise<void> => {
  let left = count
  const worker = async (): Promise<void> => {
    while (left-- > 0) await piece()
  }
  await Promise.all(Array.from({ length: workers }, worker))
}

const perform = (task: Task): Promise<void> => {
  switch (task.kind) {
    case "connections":
      return pool(task.count, task.parallel, () => connection(task.port, task.first, task.tls))
    case "bulk":
      return bulk(task.port, task.bytes, task.first, task.tls)
    case "hold":
      return pool(task.count, 32, () => hold(task.port, task.tls))
    case "release":
      return release()
  }
}

const answer = async (task: Task): Promise<Answer> => {
  const before = performance.now()
  const limit = setTimeout(() => process.exit(1), TASK_LIMIT_MS)
  try {
    await perform(task)
    return { ms: performance.now() - before }
  } catch (error) {
    return { error: String(error) }
  } finally {
    clearTimeout(limit)
  }
}

process.on("message", (task) => {
  void answer(task as Task).then((result) => process.send?.(result))
})
process.on("disconnect", () => process.exit())
process.send?.("ready")
