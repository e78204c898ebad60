import { appendFileSync } from "node:fs"
import * as net from "node:net"

/**
 * A program of its own: one visit to an address after the other, each on a connection of its own, with a line of JSON for what
 * became of it. Arguments: address, port, file.
 */
const [, , host = "", port = "", file = ""] = process.argv

const PAUSE_MS = 5
const LIMIT_MS = 2_000

const visit = (): Promise<object> =>
  new Promise((resolve) => {
    const at = Date.now()
    let connected = false
    let answer = ""
    const socket = net.connect({ host, port: Number(port) })
    const end = (error: string | undefined): void => {
      const [, id = null] = /"id":"([^"]+)"/.exec(answer) ?? []
      socket.destroy()
      resolve({ at, took: Date.now() - at, connected, id, error: id === null ? (error ?? "nothing") : null })
    }
    socket.setTimeout(LIMIT_MS, () => end("timeout"))
    socket.once("connect", () => {
      connected = true
      socket.write("GET /api/info HTTP/1.1\r\nHost: any\r\nConnection: close\r\n\r\n")
    })
    socket.on("data", (part: Buffer) => (answer += part.toString("latin1")))
    socket.once("error", (error: NodeJS.ErrnoException) => end(error.code))
    socket.once("close", () => end(undefined))
  })

while (true) {
  appendFileSync(file, `${JSON.stringify(await visit())}\n`)
  await new Promise((resolve) => setTimeout(resolve, PAUSE_MS))
}
