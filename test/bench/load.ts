import * as net from "node:net"
import { type Answer, DOWN, ECHO, type Task, UP } from "./Task.ts"

/** The load generator, a process of its own: does one task at a time as its parent asks. */
const message = Buffer.alloc(64, ECHO)
const block = Buffer.alloc(262_144, UP)
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

/** `times` exchanges, one after the other, then whatever `last` does. */
const exchange = (socket: net.Socket, times: number, last: () => void): void => {
  let left = times
  let missing = message.length
  socket.once("connect", () => socket.write(message))
  socket.on("data", (chunk) => {
    missing -= chunk.length
    if (missing > 0) return
    missing = message.length
    if (--left > 0) socket.write(message)
    else last()
  })
}

const exchanges = async (port: number, times: number): Promise<void> => {
  const socket = connect(port)
  let done = false
  exchange(socket, times, () => {
    done = true
    socket.end()
  })
  socket.once("end", () => socket.end())
  await closed(socket)
  if (!done) throw new Error("a connection was closed before its answer")
}

const down = async (port: number, bytes: number): Promise<void> => {
  let received = 0
  const socket = net.connect({
    host: "127.0.0.1",
    port,
    localAddress: clientAddress(),
    onread: {
      buffer: Buffer.allocUnsafeSlow(1_048_576),
      callback: (length) => {
        received += length
        return true
      }
    }
  })
  socket.once("connect", () => socket.write(`${DOWN}${bytes}\n`))
  await closed(socket)
  if (received !== bytes) throw new Error(`${received} bytes of ${bytes} have come`)
}

const up = async (port: number, bytes: number): Promise<void> => {
  const socket = connect(port)
  let left = bytes
  let answered = false
  const more = (): void => {
    while (left > 0) {
      const part = Math.min(left, block.length)
      left -= part
      if (!socket.write(part === block.length ? block : block.subarray(0, part))) return void socket.once("drain", more)
    }
    socket.end()
  }
  socket.once("connect", more)
  socket.on("data", () => (answered = true))
  await closed(socket)
  if (!answered) throw new Error("the backend did not confirm the bytes")
}

const parallel = async (count: number, work: () => Promise<void>): Promise<void> => {
  await Promise.all(Array.from({ length: count }, work))
}

const held: Array<net.Socket> = []

const hold = (port: number): Promise<void> =>
  new Promise((resolve, reject) => {
    const socket = connect(port)
    held.push(socket)
    socket.once("error", reject)
    socket.once("close", () => reject(new Error("an idle connection was closed")))
    exchange(socket, 1, resolve)
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
const pool = (count: number, workers: number, piece: () => Promise<void>): Promise<void> => {
  let left = count
  return parallel(workers, async () => {
    while (left-- > 0) await piece()
  })
}

const perform = (task: Task): Promise<void> => {
  switch (task.kind) {
    case "connections":
      return pool(task.count, task.parallel, () => exchanges(task.port, 1))
    case "ping-pong":
      return parallel(task.parallel, () => exchanges(task.port, task.count))
    case "down":
      return parallel(task.parallel, () => down(task.port, task.bytes))
    case "up":
      return parallel(task.parallel, () => up(task.port, task.bytes))
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
