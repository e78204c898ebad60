import { assert, describe, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as tls from "node:tls"
import * as NodeTransport from "../../layers/transport-node/NodeTransport.ts"
import type { ServerTls } from "../../src/tls/ServerTls.ts"
import { type Secured, SecureError } from "../../src/traffic/Transport.ts"
import { authority, certificate, serverTls } from "../support/certificates.ts"
import { echo, serve } from "../support/tcp.ts"
import { eventually } from "../support/Watch.ts"
import { layer as threaded } from "./engines/nodeThreads.ts"
import * as Rig from "./Rig.ts"

const ca = authority()
const strangers = authority("somebody else")
const DAY = 86_400_000
const pair = certificate(ca, ["localhost"])
const good = serverTls(pair)
const mutual = serverTls(pair, { clientCa: ca.chain })

const suites = [
  ...["AES128-GCM-SHA256", "AES256-GCM-SHA384", "CHACHA20-POLY1305"].map(
    (name) => ({ maxVersion: "TLSv1.2", ciphers: `ECDHE-ECDSA-${name}` }) as const
  ),
  ...["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"].map(
    (ciphers) => ({ minVersion: "TLSv1.3", ciphers }) as const
  )
]

interface Shaken {
  readonly result: Secured | SecureError
  readonly id: number
  /** The first one that the server has given. */
  readonly session: () => Buffer | undefined
  /** Below its TLS. */
  readonly client: Rig.Client
  readonly socket: tls.TLSSocket
}

/** A client that knows the authority and asks for TLS, and what the engine has made of it. */
const shake = (rig: Rig.Rig, server: ServerTls, options: tls.ConnectionOptions = {}) =>
  Effect.gen(function* () {
    const { accepted, id, peer } = yield* rig.client()
    peer.socket.removeAllListeners("data")
    peer.socket.pause()
    const socket = tls.connect({ socket: peer.socket, ca: ca.chain, servername: "localhost", ...options })
    socket.on("error", () => undefined)
    let session: Buffer | undefined
    socket.on("session", (given: Buffer) => (session ??= given))
    const result = yield* Effect.match(rig.transport.secure(id, { tls: server, pair: 0 }), {
      onFailure: (error) => error,
      onSuccess: (secured) => secured
    })
    const shaken: Shaken = { session: () => session, result, id, client: { accepted, id, peer }, socket }
    return shaken
  })

const secured = ({ result }: Shaken): Secured => {
  if (result instanceof SecureError) throw result
  return result
}

const failed = ({ result }: Shaken): SecureError => {
  if (!(result instanceof SecureError)) throw new Error("it was taken in")
  return result
}

const engines = {
  node: NodeTransport.layer,
  "node in threads": threaded({ threads: 1, maxConnections: 1_000 })
}

for (const [name, engine] of Object.entries(engines)) {
  describe(`TLS of the ${name} engine`, () => {
    layer(engine, { excludeTestServices: true })("with clients", (it) => {
      it.effect.each(["TLSv1.2", "TLSv1.3"] as const)("%s, and its protocols", (version) =>
        Effect.gen(function* () {
          const rig = yield* Rig.make({})
          const only = { minVersion: version, maxVersion: version }
          const plain = secured(yield* shake(rig, good, only))
          assert.deepStrictEqual(plain, { protocol: undefined, version, resumed: false, peer: undefined })
          const choosing = serverTls(pair, { protocols: ["h2", "http/1.1"] })
          const h2 = yield* shake(rig, choosing, { ...only, ALPNProtocols: ["http/1.1", "h2"] })
          assert.strictEqual(secured(h2).protocol, "h2")
          assert.isUndefined(secured(yield* shake(rig, choosing, only)).protocol)
          const none = yield* shake(rig, choosing, { ...only, ALPNProtocols: ["imap"] })
          assert.strictEqual(failed(none).reason, "Handshake")
          assert.strictEqual(Rig.why(yield* rig.end(none.id)), "client pre-route tls")
        })
      )

      it.effect("a version that is too old is refused", () =>
        Effect.gen(function* () {
          const rig = yield* Rig.make({})
          const strict = serverTls(pair, { minVersion: "1.3" })
          assert.strictEqual(failed(yield* shake(rig, strict, { maxVersion: "TLSv1.2" })).reason, "Handshake")
          assert.strictEqual(secured(yield* shake(rig, strict)).version, "TLSv1.3")
        })
      )

      it.effect.each(["TLSv1.2", "TLSv1.3"] as const)("%s: a session is resumed, also with other settings", (version) =>
        Effect.gen(function* () {
          const rig = yield* Rig.make({})
          const only = { minVersion: version, maxVersion: version }
          const first = yield* shake(rig, good, only)
          const session = yield* eventually("a session", first.session)
          assert.isTrue(secured(yield* shake(rig, good, { ...only, session })).resumed)
          // As after a reload, or in another thread.
          assert.isTrue(secured(yield* shake(rig, { ...good }, { ...only, session })).resumed)
          const rotated = serverTls(pair)
          assert.isFalse(secured(yield* shake(rig, rotated, { ...only, session })).resumed)
        })
      )

      it.effect.each(["TLSv1.2", "TLSv1.3"] as const)("%s: with client certificates nothing is resumed", (version) =>
        Effect.gen(function* () {
          const rig = yield* Rig.make({})
          const mine = certificate(ca, [], { name: "a client" })
          const only = { minVersion: version, maxVersion: version, cert: mine.chain, key: mine.key }
          const first = yield* shake(rig, mutual, only)
          assert.deepInclude(secured(first), { resumed: false, peer: "CN=a client" })
          const session = first.session()
          const again = yield* shake(rig, mutual, { ...only, ...(session === undefined ? {} : { session }) })
          assert.deepInclude(secured(again), { resumed: false, peer: "CN=a client" })
          // A session of a time without client certificates is no way in.
          const free = serverTls(pair, { ticketKey: mutual.ticketKey })
          const before = yield* shake(rig, free, { minVersion: version, maxVersion: version })
          const old = yield* eventually("a session", before.session)
          const sneaking = yield* shake(rig, mutual, { minVersion: version, maxVersion: version, session: old })
          assert.strictEqual(failed(sneaking).reason, "ClientCert")
        })
      )

      const bad: ReadonlyArray<readonly [string, () => tls.ConnectionOptions]> = [
        ["none", () => ({})],
        [
          "of another authority",
          () => {
            const { chain, key } = certificate(strangers, [], { name: "a stranger" })
            return { cert: chain, key }
          }
        ],
        [
          "expired",
          () => {
            const times = { notBefore: Date.now() - 2 * DAY, notAfter: Date.now() - DAY }
            const { chain, key } = certificate(ca, [], { name: "late", ...times })
            return { cert: chain, key }
          }
        ],
        [
          "self-signed",
          () => {
            const { chain, key } = certificate(undefined, [], { name: "own" })
            return { cert: chain, key }
          }
        ]
      ]
      for (const [kind, options] of bad) {
        it.effect.each(["TLSv1.2", "TLSv1.3"] as const)(`%s: a client certificate, ${kind}: refused`, (version) =>
          Effect.gen(function* () {
            const rig = yield* Rig.make({})
            const shaken = yield* shake(rig, mutual, { minVersion: version, maxVersion: version, ...options() })
            assert.strictEqual(failed(shaken).reason, "ClientCert")
            assert.strictEqual(Rig.why(yield* rig.end(shaken.id)), "client pre-route client-cert")
          })
        )
      }

      it.effect.each(["GET / HTTP/1.1\r\n\r\n", "\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00", "\0".repeat(600)])(
        "what is no TLS ends the connection (%#)",
        (text) =>
          Effect.gen(function* () {
            const rig = yield* Rig.make({})
            const { id, peer } = yield* rig.client()
            yield* peer.send(Buffer.from(text, "latin1"))
            const error = yield* Effect.flip(rig.transport.secure(id, { tls: good, pair: 0 }))
            assert.strictEqual(error.reason, "Handshake")
            assert.strictEqual(Rig.why(yield* rig.end(id)), "client pre-route tls")
            yield* peer.awaitClosed
          })
      )

      it.effect("a handshake that is never finished ends at the deadline; one that is reset, then", () =>
        Effect.gen(function* () {
          const rig = yield* Rig.make({ prerouteMs: 400 })
          const silent = yield* rig.client()
          const error = yield* Effect.flip(rig.transport.secure(silent.id, { tls: good, pair: 0 }))
          assert.strictEqual(error.reason, "Deadline")
          assert.strictEqual(Rig.why(yield* rig.end(silent.id)), "proxy pre-route preroute-timeout")
          const leaving = yield* rig.client()
          const waiting = yield* Effect.forkChild(
            Effect.flip(rig.transport.secure(leaving.id, { tls: good, pair: 0 })),
            { startImmediately: true }
          )
          yield* leaving.peer.reset
          assert.strictEqual((yield* Fiber.join(waiting)).reason, "Gone")
        })
      )

      it.effect("beyond the most handshakes others wait their turn, and are all taken in", () =>
        Effect.gen(function* () {
          const rig = yield* Rig.make({ prerouteMs: 5_000 })
          const few = serverTls(pair, { maxHandshakes: 2 })
          const idle = yield* rig.client()
          const held = yield* Effect.forkChild(Effect.flip(rig.transport.secure(idle.id, { tls: few, pair: 0 })), {
            startImmediately: true
          })
          const all = yield* Effect.forEach(Array.from({ length: 20 }), () => shake(rig, few), {
            concurrency: "unbounded"
          })
          for (const each of all) secured(each)
          yield* idle.peer.reset
          yield* Fiber.join(held)
        })
      )

      it.effect("nobody renegotiates", () =>
        Effect.gen(function* () {
          const rig = yield* Rig.make()
          const server = yield* serve({ onPeer: echo })
          const shaken = yield* shake(rig, good, { maxVersion: "TLSv1.2" })
          secured(shaken)
          yield* rig.bridge(shaken.id, server.endpoint)
          const refused = yield* Effect.callback<unknown>((resume) => {
            shaken.socket.once("error", (error) => resume(Effect.succeed(error)))
            shaken.socket.renegotiate({}, (error) => resume(Effect.succeed(error)))
          })
          assert.include(JSON.stringify(refused), "ERR_SSL_NO_RENEGOTIATION")
        })
      )

      it.effect("clients that begin a handshake and never finish it keep nobody out", () =>
        Effect.gen(function* () {
          const rig = yield* Rig.make({ prerouteMs: 60_000 })
          const few = serverTls(pair, { maxHandshakes: 2 })
          for (let idlers = 0; idlers < 12; idlers++) {
            const { id } = yield* rig.client()
            yield* Effect.forkScoped(Effect.ignore(rig.transport.secure(id, { tls: few, pair: 0 })))
          }
          const began = performance.now()
          secured(yield* shake(rig, few))
          assert.isBelow(performance.now() - began, 15_000)
        })
      )

      for (const suite of suites)
        it.effect.each([true, false])(
          `${suite.ciphers}: an end that is read with bytes that had to wait (orderly %o)`,
          (orderly) =>
            Effect.gen(function* () {
              const rig = yield* Rig.make()
              const server = yield* serve()
              const { client, id, socket } = yield* shake(rig, good, suite)
              // More than is kept for a backend: the engine does not read on, though the kernel tells it of the end.
              const bytes = Buffer.alloc(70_000)
              yield* Effect.callback<void>((resume) => void socket.write(bytes, () => resume(Effect.void)))
              yield* eventually("all of it", () => (rig.counts(id)?.waiting ?? 0) >= 65_536)
              const ending = orderly ? socket : client.peer.socket
              ending.end()
              yield* eventually("its FIN", () => ending.writableFinished)
              yield* eventually("nothing left in the kernel", () => rig.arrived(client) === rig.counts(id)?.waiting)
              yield* rig.bridge(id, server.endpoint)
              const backend = yield* server.peer(0)
              if (!orderly) {
                assert.strictEqual(yield* backend.awaitClosed, "ECONNRESET")
                return assert.strictEqual(Rig.why(yield* rig.end(id)), "client relay truncated")
              }
              yield* backend.awaitFin
              assert.strictEqual(backend.received(), bytes.length)
              yield* backend.finish
              assert.strictEqual(Rig.why(yield* rig.end(id)), "client relay fin")
            })
        )

      it.effect("asked twice, or of one that has ended, it is gone; a pair that is none fails", () =>
        Effect.gen(function* () {
          const rig = yield* Rig.make({})
          const { id } = yield* shake(rig, good)
          const again = yield* Effect.flip(rig.transport.secure(id, { tls: good, pair: 0 }))
          assert.strictEqual(again.reason, "Gone")
          const broken = serverTls({ chain: "nothing", key: pair.key })
          assert.strictEqual(failed(yield* shake(rig, broken)).reason, "Handshake")
          const { id: ended, peer } = yield* rig.client()
          yield* peer.reset
          yield* rig.end(ended)
          const late = yield* Effect.flip(rig.transport.secure(ended, { tls: good, pair: 0 }))
          assert.strictEqual(late.reason, "Gone")
          yield* eventually("all of it given back", () => rig.transport.census().heldBytes === 0)
        })
      )
    })
  })
}
