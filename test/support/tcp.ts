import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { createHash } from "node:crypto"
import * as net from "node:net"
import * as tls from "node:tls"
import type { Endpoint } from "../../src/traffic/Transport.ts"
import * as Watch from "./Watch.ts"

/** How a connection ended for one of its ends: `fin` when both directions finished, else the code of its error. */
export type Closed = "fin" | (string & {})

/** One end of a TCP connection in the hands of a test. */
export interface Peer {
  readonly socket: net.Socket
  /** Its own and the other end's; the socket does not know them any more once it was reset. */
  readonly ports: readonly [local: number, remote: number]
  /** Bytes received so far, their SHA-256, and the first of them as text. */
  readonly received: () => number
  readonly sha256: () => string
  readonly text: () => string
  /** Completes when the kernel has taken the bytes, or the connection is gone. */
  readonly send: (bytes: Uint8Array | string) => Effect.Effect<void>
  /** FIN: nothing more will be sent. */
  readonly finish: Effect.Effect<void>
  readonly reset: Effect.Effect<void>
  /** These die when the connection ends without what they wait for. */
  readonly awaitBytes: (count: number) => Effect.Effect<number>
  readonly awaitText: (part: string) => Effect.Effect<string>
  /** The other end has finished. */
  readonly awaitFin: Effect.Effect<boolean>
  readonly awaitClosed: Effect.Effect<Closed>
  readonly closed: () => Closed | undefined
  readonly watch: Watch.Watch
}

/** How a test's end reads: at full speed; `bytes` at a time with a pause of `ms` after each; not until it is resumed. */
export type Reading = "fast" | "stalled" | { readonly bytes: number; readonly ms: number }

const TEXT_BYTES = 65_536

/** What a test's ends speak over TCP: TLS when there are options for it. */
export const Wire = Context.Reference<{
  readonly backend?: tls.TlsOptions | undefined
  readonly client?: tls.ConnectionOptions
}>("test/support/Wire", { defaultValue: () => ({}) })

/** `below` is the TCP socket of one that is TLS. */
export const makePeer = (socket: net.Socket, reading: Reading, below: net.Socket = socket): Peer => {
  const watch = Watch.make()
  const hash = createHash("sha256")
  let received = 0
  let text = ""
  let finished = false
  let error: string | undefined
  let closed: Closed | undefined
  let taken = 0

  // Before the listener, which would set it flowing.
  if (reading === "stalled") socket.pause()
  socket.on("data", (chunk: Buffer) => {
    hash.update(chunk)
    if (received < TEXT_BYTES) text += chunk.toString("latin1")
    received += chunk.length
    watch.touch()
    if (typeof reading === "string") return
    taken += chunk.length
    if (taken < reading.bytes) return
    taken = 0
    socket.pause()
    setTimeout(() => socket.resume(), reading.ms)
  })
  socket.on("end", () => {
    finished = true
    watch.touch()
  })
  socket.on("error", (cause: NodeJS.ErrnoException) => {
    error ??= cause.code ?? cause.message
  })
  socket.on("close", () => {
    closed = error ?? "fin"
    watch.touch()
  })
  const state = (): string => `; ${received} bytes received, ${closed ?? (finished ? "FIN received" : "open")}`
  // What has not come before the end does not come any more.
  const until = <A>(what: string, look: () => A | undefined | false): Effect.Effect<A> =>
    watch
      .until(
        () => what + state(),
        () => {
          const found = look()
          return found !== undefined && found !== false ? { found } : closed === undefined ? undefined : {}
        }
      )
      .pipe(
        Effect.flatMap(({ found }) =>
          found === undefined ? Effect.die(new Error(`no ${what}${state()}`)) : Effect.succeed(found)
        )
      )

  return {
    socket,
    ports: [socket.localPort ?? 0, socket.remotePort ?? 0],
    received: () => received,
    sha256: () => hash.copy().digest("hex"),
    text: () => text,
    send: (bytes) =>
      Effect.callback<void>((resume) => {
        // What can't be written is told of within the turn: who goes on sending would let no other have one.
        if (socket.destroyed) setImmediate(() => resume(Effect.void))
        else socket.write(bytes, () => resume(Effect.void))
      }),
    finish: Effect.sync(() => void socket.end()),
    reset: Effect.callback<void>((resume) => {
      const reset = (): void => {
        below.resetAndDestroy()
        resume(Effect.void)
      }
      // While a FIN is on its way to the kernel, libuv can't reset.
      if (socket.writableEnded && !socket.writableFinished && !socket.destroyed) {
        socket.once("finish", reset).once("close", reset)
      } else reset()
    }),
    awaitBytes: (count) => until(`${count} bytes`, () => received >= count && received),
    awaitText: (part) => until(`text ${JSON.stringify(part)}`, () => text.includes(part) && text),
    awaitFin: until("FIN", () => finished),
    awaitClosed: until("end of the connection", () => closed),
    closed: () => closed,
    watch
  }
}

export interface ConnectOptions {
  /** Source address: any of 127.0.0.0/8. */
  readonly from?: string
  readonly reading?: Reading
}

/** Completes when the kernel says so, or the handshake is done; fails with the socket's error. The connection is destroyed with the scope. */
export const connect = (
  to: Endpoint,
  options: ConnectOptions = {}
): Effect.Effect<Peer, NodeJS.ErrnoException, Scope.Scope> =>
  Effect.gen(function* () {
    const { client } = yield* Wire
    return yield* Effect.acquireRelease(
      Effect.callback<Peer, NodeJS.ErrnoException>((resume) => {
        const below = net.connect({
          host: to.address,
          port: to.port,
          allowHalfOpen: true,
          noDelay: true,
          ...(options.from === undefined ? {} : { localAddress: options.from })
        })
        const socket = client === undefined ? below : tls.connect({ ...client, socket: below })
        const onError = (error: NodeJS.ErrnoException): void => resume(Effect.fail(error))
        socket.once("error", onError)
        socket.once(client === undefined ? "connect" : "secureConnect", () => {
          socket.off("error", onError)
          resume(Effect.succeed(makePeer(socket, options.reading ?? "fast", below)))
        })
        return Effect.sync(() => socket.destroy())
      }),
      ({ socket }) => Effect.sync(() => socket.destroy())
    )
  })

/** A listener of a test: a backend, mostly. */
export interface Server {
  readonly endpoint: Endpoint
  /** Connections in the order they came, ended ones too. */
  readonly peers: ReadonlyArray<Peer>
  /** The nth connection, counted from 0. */
  readonly peer: (index: number) => Effect.Effect<Peer>
  readonly open: () => number
  /** The most connections that were open at the same time. */
  readonly most: () => number
  readonly watch: Watch.Watch
}

export interface ServeOptions {
  readonly host?: string
  readonly port?: number
  readonly reading?: Reading
  readonly onPeer?: (peer: Peer) => void
}

/** Listens until the scope ends, which also destroys its connections. */
export const serve = (options: ServeOptions = {}): Effect.Effect<Server, NodeJS.ErrnoException, Scope.Scope> =>
  Effect.gen(function* () {
    const { backend: secure } = yield* Wire
    const watch = Watch.make()
    const peers: Array<Peer> = []
    let open = 0
    let most = 0
    const unsecured = new Set<net.Socket>()
    const wire = { allowHalfOpen: true, noDelay: true }
    const server = net.createServer(wire, (accepted) => {
      const socket = secure === undefined ? accepted : new tls.TLSSocket(accepted, { ...secure, isServer: true })
      const begin = (): void => {
        const peer = makePeer(socket, options.reading ?? "fast", accepted)
        peers.push(peer)
        most = Math.max(most, ++open)
        socket.on("close", () => {
          open--
          watch.touch()
        })
        options.onPeer?.(peer)
        watch.touch()
      }
      if (socket === accepted) return begin()
      unsecured.add(accepted)
      socket.on("close", () => unsecured.delete(accepted))
      socket.once("secure", begin)
      socket.on("error", () => undefined)
    })
    const listening = Effect.callback<void, NodeJS.ErrnoException>((resume) => {
      server.once("error", (error) => resume(Effect.fail(error)))
      server.listen({ host: options.host ?? "127.0.0.1", port: options.port ?? 0, backlog: 4_096 }, () =>
        resume(Effect.void)
      )
    })
    const stop = Effect.callback<void>((resume) => {
      for (const { socket } of peers) socket.destroy()
      for (const socket of unsecured) socket.destroy()
      server.close(() => resume(Effect.void))
    })
    yield* Effect.acquireRelease(listening, () => stop)
    const { address, port } = server.address() as net.AddressInfo
    return {
      endpoint: { address, port },
      peers,
      peer: (index) => watch.until(`connection ${index + 1} at ${address}:${port}`, () => peers[index]),
      open: () => open,
      most: () => most,
      watch
    }
  })

/** Sends back what it gets, FIN included. */
export const echo = ({ socket }: Peer): void => void socket.pipe(socket)

/** Says its name at once, then echoes. */
export const greet =
  (name: string) =>
  (peer: Peer): void => {
    peer.socket.write(`${name}\n`)
    echo(peer)
  }

/** Nobody listens here: tcpmux on a loopback address of its own. */
export const refusing: Endpoint = { address: "127.0.0.77", port: 1 }
