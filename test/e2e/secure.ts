import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { writeFile } from "node:fs/promises"
import { join } from "node:path"
import type * as tls from "node:tls"
import type { KeyPair } from "../../src/tls/ServerTls.ts"
import type { Endpoint } from "../../src/traffic/Transport.ts"
import { authority, certificate } from "../support/certificates.ts"
import { scratch } from "../support/EdgeProcess.ts"
import { connect, type Peer, Wire } from "../support/tcp.ts"

/** Who has signed the certificates of a file's proxies. */
export const ca = authority()

export const write = (path: string, text: string) => Effect.promise(() => writeFile(path, text))

export const writePair = (directory: string, name: string, { chain, key }: KeyPair) =>
  Effect.andThen(write(join(directory, `${name}.crt`), chain), write(join(directory, `${name}.key`), key))

/** A directory with a certificate for `main.example`, and what makes the proxy use it. */
export const certificates = Effect.gen(function* () {
  const directory = yield* scratch
  yield* writePair(directory, "main", certificate(ca, ["main.example", "localhost", "127.0.0.1"]))
  const authorities = join(directory, "ca.pem")
  yield* write(authorities, ca.chain)
  const env = {
    TLS_ENABLED: "true",
    TLS_LISTEN_ADDR: "127.0.0.1:0",
    TLS_CERT_DIR: directory,
    TLS_RELOAD_SECS: "0.1"
  }
  return { directory, authorities, env }
})

/** A client whose handshake is done. */
export const connectTls = (
  to: Endpoint,
  options: tls.ConnectionOptions = {}
): Effect.Effect<Peer & { readonly tls: tls.TLSSocket }, NodeJS.ErrnoException, Scope.Scope> =>
  connect(to).pipe(
    Effect.provideService(Wire, { client: { ca: ca.chain, servername: "main.example", ...options } }),
    // With such a wire it is one.
    Effect.map((peer) => Object.assign(peer, { tls: peer.socket as tls.TLSSocket }))
  )
