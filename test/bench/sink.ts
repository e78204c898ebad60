import { once } from "node:events"
import * as net from "node:net"
import { DOWN, ECHO, UP } from "./Task.ts"

/** The backend of the benchmarks, a process of its own: listens on so many free ports and tells its parent which. */
const count = Number(process.argv[2])
const block = Buffer.alloc(262_144, 7)

const send = (socket: net.Socket, bytes: number): void => {
  let left = bytes
  const more = (): void => {
    while (left > 0) {
      const part = Math.min(left, block.length)
      left -= part
      if (!socket.write(part === block.length ? block : block.subarray(0, part))) return void socket.once("drain", more)
    }
    socket.end()
  }
  more()
}

const serve = (socket: net.Socket): void => {
  let role: string | undefined
  let line = ""
  socket.on("error", () => socket.destroy())
  socket.on("data", (chunk: Buffer) => {
    role ??= String.fromCharCode(chunk[0] ?? 0)
    if (role === ECHO) socket.write(chunk)
    if (role !== DOWN || line.endsWith("\n")) return
    line += chunk.toString("latin1")
    if (line.endsWith("\n")) send(socket, Number(line.slice(1)))
  })
  socket.on("end", () => {
    if (role === UP) socket.write(UP)
    socket.end()
  })
}

const ports: Array<number> = []
for (let i = 0; i < count; i++) {
  const server = net.createServer({ allowHalfOpen: true, noDelay: true }, serve)
  server.listen({ host: "127.0.0.1", port: 0, backlog: 4_096 })
  await once(server, "listening")
  const address = server.address()
  if (address !== null && typeof address === "object") ports.push(address.port)
}
process.on("disconnect", () => process.exit())
process.send?.(ports)
