import * as net from "node:net"
import type { Answer, Task } from "./Task.ts"

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

const connect = (port: number): net.Socket =>
  net.connect({ host: "127.0.0.1", port, localAddress: clientAddress(), noDelay: true, allowHalfOpen: true })

const closed = (socket: net.Socket): Promise<void> =>
  new Promise((resolve, reject) => {
    socket.once("error", reject)
    socket.once("close", () => resolve())
  })

/** One exchange, then whatever `then` does. */
const exchange = (socket: net.Socket, then: () => void, first = ""): void => {
  let missing = message.length
  const said = first === "" ? message : Buffer.concat([Buffer.from(first, "hex"), message])
  socket.once("connect", () => socket.write(said))
  socket.on("data", (chunk) => {
    const waited = missing > 0
    missing -= chunk.length
    // What a proxy has put before it comes back too.
    if (waited && missing <= 0) then()
  })
}

const connection = async (port: number, first: string | undefined): Promise<void> => {
  const socket = connect(port)
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

const bulk = async (port: number, bytes: number, first: string): Promise<void> => {
  const socket = connect(port)
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
  socket.once("connect", () => {
    socket.write(opening)
    send()
  })
  socket.on("drain", send)
  socket.on("data", (part) => (got += part.length))
  await closed(socket)
  if (got !== bytes + opening.length) throw new Error(`${got} bytes came back of ${bytes + opening.length}`)
}

const held: Array<net.Socket> = []

const hold = (port: number): Promise<void> =>
  new Promise((resolve, reject) => {
    const socket = connect(port)
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
      socket.resetAndDestroy()
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
      return pool(task.count, task.parallel, () => connection(task.port, task.first))
    case "bulk":
      return bulk(task.port, task.bytes, task.first)
    case "hold":
      return pool(task.count, 32, () => hold(task.port))
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
