import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as tls from "node:tls"
import type { ConnectionId, Transport } from "../../src/traffic/Transport.ts"
import { type ConnectOptions, makePeer, type Peer } from "../support/tcp.ts"
import type { TestTls } from "./Engine.ts"

/** A test's client and the engine agree on TLS; gives the client as it is then. */
export const secureBoth = (
  transport: Transport["Service"],
  id: ConnectionId,
  peer: Peer,
  { ca, server }: NonNullable<TestTls["client"]>,
  options: ConnectOptions | undefined
): Effect.Effect<Peer, never, Scope.Scope> =>
  Effect.gen(function* () {
    // It is the stream above that is read from now on.
    peer.socket.removeAllListeners("data")
    peer.socket.pause()
    const socket = tls.connect({ socket: peer.socket, ca, servername: "localhost" })
    yield* Effect.addFinalizer(() => Effect.sync(() => socket.destroy()))
    const secured = makePeer(socket, options?.reading ?? "fast", peer.socket)
    const connected = Effect.callback<void>((resume) => {
      socket.once("secureConnect", () => resume(Effect.void))
    })
    yield* Effect.all([transport.secure(id, { tls: server, pair: 0 }), connected], { concurrency: 2 }).pipe(
      Effect.orDie
    )
    return secured
  })
