import * as net from "node:net"

/**
 * The least proxy that Node can be: two pipes, no choice, no limits, no log. What edgeProxy is measured against.
 * Arguments: the port to listen on, the port to connect to.
 */
const [port, target] = process.argv.slice(2).map(Number)
if (port === undefined || target === undefined) throw new Error("usage: bare-pipe.ts PORT TARGET")

net
  .createServer({ allowHalfOpen: true, noDelay: true }, (client) => {
    const backend = net.connect({ host: "127.0.0.1", port: target, allowHalfOpen: true, noDelay: true })
    client.pipe(backend)
    backend.pipe(client)
    client.on("error", () => backend.destroy())
    backend.on("error", () => client.destroy())
  })
  .listen(port, "127.0.0.1")
