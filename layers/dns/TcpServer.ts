import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as net from "node:net"
import type { DnsCounters } from "../../src/dns/DnsCounters.ts"
import type { Responder } from "../../src/dns/Responder.ts"
import { codeOf, listenError } from "../../src/traffic/errno.ts"
import { PassedSockets } from "../../src/traffic/PassedSockets.ts"
import type { Endpoint, ListenError } from "../../src/traffic/Transport.ts"
import { TcpClient } from "./TcpClient.ts"

export interface TcpOptions {
  readonly address: Endpoint
  readonly answer: Responder
  readonly counters: DnsCounters["Service"]
  readonly limits: TcpLimits
}

export interface TcpLimits {
  /** Connections at once; when all are taken, the one that has been silent for longest makes room. */
  readonly connections: number
  /** Beyond, the address makes room itself. */
  readonly connectionsPerAddress: number
  /** From one whole question to the next; a client that reads no answers counts as silent. */
  readonly idleMs: number
}

export const defaultLimits: TcpLimits = { connections: 256, connectionsPerAddress: 64, idleMs: 10_000 }

/** A sixteenth of the process's descriptors, as the API has. */
export const limitsOf = (fdLimit: number): TcpLimits => {
  const connections = Math.max(8, Math.min(defaultLimits.connections, Math.floor(fdLimit / 16)))
  return { ...defaultLimits, connections, connectionsPerAddress: Math.max(4, Math.floor(connections / 4)) }
}

/** What it may take of them, with its UDP sockets. */
export const fdsOf = (fdLimit: number): number => limitsOf(fdLimit).connections + 16

const LOOK_MS = 1_000

/** DNS over TCP (RFC 7766): questions may follow each other, nobody can hold the server up. Closes with the scope. */
export const open = Effect.fnUntraced(function* ({
  address,
  answer,
  counters,
  limits
}: TcpOptions): Effect.fn.Return<Endpoint, ListenError, Scope.Scope> {
  const fd = (yield* PassedSockets).take(address)
  // In the order in which they were heard of last.
  const clients = new Map<net.Socket, TcpClient>()
  const perAddress = new Map<string, number>()

  const leave = (socket: net.Socket, { from }: TcpClient): void => {
    if (!clients.delete(socket)) return
    const left = (perAddress.get(from) ?? 1) - 1
    if (left > 0) perAddress.set(from, left)
    else perAddress.delete(from)
  }

  /** Hangs up on the one of these that has been silent for longest. */
  const evict = (among: (client: TcpClient) => boolean): void => {
    for (const [socket, client] of clients) {
      if (!among(client)) continue
      counters.connections.evicted++
      leave(socket, client)
      return void socket.destroy()
    }
  }

  const server = net.createServer({ noDelay: true, allowHalfOpen: true }, (socket) => {
    const { remoteAddress: from } = socket
    // It has gone already.
    if (from === undefined) {
      socket.on("error", () => undefined)
      return void socket.destroy()
    }
    if ((perAddress.get(from) ?? 0) >= limits.connectionsPerAddress) evict((client) => client.from === from)
    else if (clients.size >= limits.connections) evict(() => true)
    perAddress.set(from, (perAddress.get(from) ?? 0) + 1)
    counters.connections.total++
    counters.connections.open++
    const client: TcpClient = new TcpClient({
      socket,
      from,
      answer,
      onQuestion: () => {
        client.heardAt = performance.now()
        clients.delete(socket)
        clients.set(socket, client)
      }
    })
    clients.set(socket, client)
    socket.once("close", () => {
      counters.connections.open--
      leave(socket, client)
    })
  })

  const look = setInterval(() => {
    const before = performance.now() - limits.idleMs
    for (const [socket, { heardAt }] of clients) {
      if (heardAt > before) break
      socket.destroy()
    }
  }, LOOK_MS)

  const listen = Effect.callback<Endpoint, ListenError>((resume) => {
    const onError = (error: Error): void => {
      clearInterval(look)
      resume(Effect.fail(listenError(address, codeOf(error))))
    }
    server.once("error", onError)
    server.listen(fd === undefined ? { host: address.address, port: address.port } : { fd }, () => {
      server.off("error", onError)
      // A failed accept would end the process; the next one may succeed.
      server.on("error", () => undefined)
      const bound = server.address()
      resume(Effect.succeed(typeof bound === "object" && bound !== null ? bound : address))
    })
  })

  const close = Effect.callback<void>((resume) => {
    clearInterval(look)
    server.close(() => resume(Effect.void))
    for (const socket of clients.keys()) socket.destroy()
  })

  return yield* Effect.acquireRelease(listen, () => close)
})
