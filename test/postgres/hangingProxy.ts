import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { once } from "node:events"
import * as net from "node:net"

/** Stands before a server, and can stop passing anything on without ending a connection. */
export interface HangingProxy {
  readonly port: number
  /** Connections that are there and those that come get no answer; or are served again: those that come after that. */
  readonly hang: (hangs: boolean) => void
}

export const hangingProxy = (to: number): Effect.Effect<HangingProxy, never, Scope.Scope> =>
  Effect.gen(function* () {
    const sockets = new Set<net.Socket>()
    let hangs = false
    const track = (socket: net.Socket): net.Socket => {
      sockets.add(socket)
      return socket.on("error", () => undefined).on("close", () => sockets.delete(socket))
    }
    const server = net.createServer((client) => {
      track(client)
      if (hangs) return
      const upstream = track(net.connect(to, "127.0.0.1"))
      client.pipe(upstream).pipe(client)
      client.on("close", () => upstream.destroy())
      upstream.on("close", () => client.destroy())
    })
    yield* Effect.acquireRelease(
      Effect.promise(() => once(server.listen(0, "127.0.0.1"), "listening")),
      () =>
        Effect.promise(async () => {
          server.close()
          for (const socket of sockets) socket.destroy()
          await once(server, "close")
        })
    )
    return {
      port: (server.address() as net.AddressInfo).port,
      hang: (wanted) => {
        hangs = wanted
        if (hangs) for (const socket of sockets) socket.unpipe().pause()
      }
    }
  })
