import * as Effect from "effect/Effect"
import * as ClientHello from "../domain/ClientHello.ts"
import { clientFromIp } from "../domain/Client.ts"
import type { ProxyHeader } from "../domain/ProxyProtocol.ts"
import * as SniRoutes from "../domain/SniRoutes.ts"
import type { Termination } from "../domain/Termination.ts"
import { copyPassedOn } from "../domain/Tlv.ts"
import { Certificates } from "../tls/Certificates.ts"
import { GeoResolver } from "../routing/GeoResolver.ts"
import { ClientAdmission } from "./ClientAdmission.ts"
import type { ConnectionRecord } from "./Connections.ts"
import { MAX_PREREAD } from "./Preread.ts"
import * as ProxyHeaderIn from "./ProxyHeaderIn.ts"
import * as Refusals from "./Refusals.ts"
import { type HandshakeResult, TrafficCounters } from "./TrafficCounters.ts"
import type { HeaderOf, ListenerKind, TrafficListener } from "./TrafficListener.ts"
import { type AbortHow, type PrereadError, type SecureError, Transport } from "./Transport.ts"

export interface PrerouteOptions {
  readonly sniRoutes: ReadonlyArray<SniRoutes.SniRoute>
  /** Whether a server name without a route, or none at all, leads to the listener's own app. */
  readonly unknownSni: "default" | "refuse"
}

/** Why a connection is not routed; `ended` when it has ended, or is being ended, already. */
type Unroutable = Termination | "ended"

const proxied = (cause: Termination["cause"]): Termination => ({ by: "proxy", phase: "pre-route", cause })

const badHeader = proxied("bad-proxy-header")
const forged = proxied("untrusted-peer")
const badHello = proxied("bad-hello")
const unknownName = proxied("unknown-name")
/** Checks of load balancers connect and leave. */
const left: Termination = { by: "client", phase: "pre-route", cause: "fin" }

/** How they are told, where it isn't by a reset. */
const farewells: ReadonlyMap<Termination, AbortHow> = new Map([
  [left, "fin"],
  [unknownName, "name-alert"]
])

const failed =
  (why: Termination) =>
  ({ reason }: PrereadError): Effect.Effect<Unroutable> =>
    Effect.succeed(reason === "Malformed" || reason === "TooLong" ? why : "ended")

const handshakeResults: Readonly<Record<SecureError["reason"], HandshakeResult>> = {
  Handshake: "failed",
  ClientCert: "client-cert",
  Deadline: "deadline",
  Gone: "gone",
  Unsupported: "failed"
}

/**
 * What is learned of a connection from its first bytes, before it is routed; the record has it then. All of it happens under
 * the pre-route deadline, which the engine enforces.
 */
export interface Preroute {
  /** `header`: whether the peer may, must or must not say for whom it connects. False when there is nothing to route. */
  readonly learn: (record: ConnectionRecord, listener: TrafficListener, header: HeaderOf) => Effect.Effect<boolean>
}

export const make = Effect.fnUntraced(function* (options: PrerouteOptions) {
  const transport = yield* Transport
  const geo = yield* GeoResolver
  const clients = yield* ClientAdmission
  const counters = yield* TrafficCounters
  const certificates = yield* Certificates
  const headers = yield* ProxyHeaderIn.make
  const routes = SniRoutes.make(options.sniRoutes)

  const admit = (record: ConnectionRecord): Unroutable | undefined => {
    const refusal = clients.admit(record.client, record.geo)
    record.admitted = refusal === undefined
    if (refusal === undefined) return undefined
    record.refusal = refusal
    counters.rejected(refusal, 1)
    return Refusals.refusalTermination(refusal)
  }

  const take = (record: ConnectionRecord, { ends, length, tlvs }: ProxyHeader): Unroutable | undefined => {
    transport.consume(record.id, length)
    // The peer speaks for itself, or for nobody it could name: it is trusted, and no client to be limited.
    if (ends === undefined) return undefined
    const { destination, source } = ends
    const peer = { address: record.client.address, port: record.clientPort }
    record.announced = { peer, destination, tlvs: copyPassedOn(tlvs) }
    record.client = clientFromIp(source.ip)
    record.clientPort = source.port
    record.geo = geo.resolve(record.client)
    return admit(record)
  }

  const learnClient = Effect.fnUntraced(function* (record: ConnectionRecord, header: HeaderOf) {
    if (header === "forged") {
      // Passed on, it might be believed by a backend, which trusts this proxy.
      const found = yield* headers.optional(record.id)
      return found._tag === "Header" ? forged : undefined
    }
    if (header === "optional") {
      const found = yield* headers.optional(record.id)
      return found._tag === "Header" ? take(record, found.header) : admit(record)
    }
    const found = yield* headers.required(record.id)
    if (found._tag === "Header") return take(record, found.header)
    return found.empty ? left : badHeader
  })

  const secure = Effect.fnUntraced(function* (record: ConnectionRecord) {
    const set = certificates.current()
    if (set === undefined) return yield* Effect.die(new Error("a TLS listener without certificates"))
    const pair = record.sni === undefined ? undefined : set.pairOf(record.sni)
    if (pair === undefined && options.unknownSni === "refuse") return unknownName
    return yield* Effect.matchEffect(transport.secure(record.id, { tls: set.tls, pair: pair ?? 0 }), {
      onSuccess: (secured) => {
        record.secured = secured
        counters.handshake(secured.resumed ? "resumed" : "full")
        return Effect.undefined
      },
      // It has ended the connection.
      onFailure: ({ code, reason }) => {
        counters.handshake(handshakeResults[reason])
        const { client, sni } = record
        const told = { client: client.address, sni, reason: code }
        return Effect.as(Effect.logDebug("no TLS with a client", told), "ended" as const)
      }
    })
  })

  const learnServerName = Effect.fnUntraced(function* (record: ConnectionRecord, kind: ListenerKind) {
    const bytes = yield* transport.preread(record.id, "client-hello", MAX_PREREAD)
    const parsed = ClientHello.parse(bytes)
    if (parsed._tag !== "Hello") return bytes.length === 0 ? left : badHello
    const { serverName } = parsed.hello
    record.sni = serverName
    const app = serverName === undefined ? undefined : routes.appOf(serverName)
    if (app !== undefined) record.app = app
    // Where no name has a route, all of them go the same way.
    const isRouted = app !== undefined || (kind === "tls-terminate" && options.sniRoutes.length === 0)
    if (!isRouted && options.unknownSni === "refuse") return unknownName
    return kind === "tls-terminate" ? yield* secure(record) : undefined
  })

  const learn: Preroute["learn"] = Effect.fnUntraced(function* (record, { kind }, header) {
    const unnamed =
      header === "off"
        ? undefined
        : yield* learnClient(record, header).pipe(Effect.catchTag("PrereadError", failed(badHeader)))
    const unroutable =
      unnamed !== undefined || kind === "tcp"
        ? unnamed
        : yield* learnServerName(record, kind).pipe(Effect.catchTag("PrereadError", failed(badHello)))
    if (unroutable === undefined) return true
    if (unroutable !== "ended") transport.abort(record.id, farewells.get(unroutable) ?? "rst", unroutable)
    return false
  })
  return { learn } satisfies Preroute
})
