import { once } from "node:events"
import * as net from "node:net"

/** A backend that sends back what it gets, a process of its own: listens on so many free ports and tells its parent which. */
const count = Number(process.argv[2])

const serve = (socket: net.Socket): void => {
  socket.on("error", () => socket.destroy())
  socket.on("data", (chunk: Buffer) => socket.write(chunk))
  socket.on("end", () => socket.end())
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
