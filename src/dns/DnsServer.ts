import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Random from "effect/Random"
import * as Result from "effect/Result"
import * as Schedule from "effect/Schedule"
import * as Scope from "effect/Scope"
import * as SubscriptionRef from "effect/SubscriptionRef"
import { monotonicMs } from "../actor/Monotonic.ts"
import { Supervisor } from "../actor/Supervisor.ts"
import { mix, unit } from "../domain/Hash.ts"
import { GeoResolver } from "../routing/GeoResolver.ts"
import { RoutingTable } from "../routing/RoutingTable.ts"
import { Upstreams } from "../routing/Upstreams.ts"
import * as RateLimit from "../traffic/RateLimit.ts"
import { Shutdown } from "../traffic/Shutdown.ts"
import { type Endpoint, formatEndpoint, type ListenError } from "../traffic/Transport.ts"
import * as Cookies from "./Cookies.ts"
import { DnsCounters } from "./DnsCounters.ts"
import { type DnsSockets, DnsTransport } from "./DnsTransport.ts"
import * as MemberIndex from "./MemberIndex.ts"
import * as Responder from "./Responder.ts"
import { FLAG, HEADER_BYTES, RCODE } from "./wire.ts"
import * as Zone from "./Zone.ts"

export interface DnsServerOptions extends Omit<Zone.ZoneOptions, "indexes" | "random"> {
  readonly address: Endpoint
  /** In lower case, without a final dot. */
  readonly domain: string
  readonly ttlMs: number
  /** Answers per second and client network. */
  readonly rateLimit: number
  /** 16 random bytes. */
  readonly cookieSecret: Uint8Array
}

/**
 * The zone on the network (N1, N2). Sockets that are lost are opened again; those it begins with must open. When another
 * process has taken them over, that one answers.
 */
export class DnsServer extends Context.Service<DnsServer, { readonly address: Endpoint }>()("edgeproxy/dns/DnsServer") {
  static readonly layer = (
    options: DnsServerOptions
  ): Layer.Layer<
    DnsServer,
    ListenError,
    DnsCounters | DnsTransport | GeoResolver | RoutingTable | Shutdown | Supervisor | Upstreams
  > => Layer.effect(DnsServer, make(options))
}

/** Networks whose rate can be remembered at once. */
const NETWORKS = 65_536

const WATCH_MS = 10_000

export const make = Effect.fnUntraced(
  function* (options: DnsServerOptions) {
    const supervisor = yield* Supervisor
    const transport = yield* DnsTransport
    const counters = yield* DnsCounters
    const upstreams = yield* Upstreams
    const geo = yield* GeoResolver
    const { snapshot } = yield* RoutingTable
    const { handedOver } = yield* Shutdown
    const now = yield* monotonicMs
    const clock = yield* Clock.clockWith(Effect.succeed)
    const parent = yield* Effect.scope

    const seed = yield* Random.nextInt
    let drawn = 0
    const indexes = MemberIndex.make()
    yield* supervisor.supervise("dns-index", indexes.work)
    const isLoaded = (): boolean => SubscriptionRef.getUnsafe(snapshot).origin !== "none"
    const responder = Responder.make({
      zoneName: options.domain.split("."),
      zone: Zone.make(upstreams, isLoaded, { ...options, indexes, random: () => unit(mix(seed + drawn++)) }),
      ttlSecs: Math.round(options.ttlMs / 1_000),
      geo: geo.resolve,
      limit: RateLimit.make(
        { burst: options.rateLimit, perMs: options.rateLimit / 1_000 },
        { clients: NETWORKS, seed: yield* Random.nextInt }
      ),
      cookies: Cookies.make(options.cookieSecret),
      counters,
      now,
      wallSecs: () => Math.floor(clock.currentTimeMillisUnsafe() / 1_000)
    })

    let failures = 0
    let lastFailure: unknown
    const answer: Responder.Responder = (message, from, over) =>
      Result.match(
        Result.try(() => responder(message, from, over)),
        {
          onSuccess: (answered) => answered,
          onFailure: (failure) => {
            failures++
            lastFailure = failure
            counters.answers[over].SERVFAIL++
            return serverFailure(message)
          }
        }
      )

    const open = Effect.fnUntraced(function* (address: Endpoint) {
      const scope = yield* Scope.fork(parent)
      const sockets = yield* transport.listen(address, answer).pipe(
        Scope.provide(scope),
        Effect.onExit((exit) => (Exit.isFailure(exit) ? Scope.close(scope, Exit.void) : Effect.void))
      )
      yield* Effect.logInfo("DNS server", { address: formatEndpoint(sockets.address), zone: options.domain })
      return { sockets, scope }
    })

    const first = yield* open(options.address)
    const { address } = first.sockets
    let current: { readonly sockets: DnsSockets; readonly scope: Scope.Closeable } | undefined = first
    const keepOpen = Effect.gen(function* () {
      const { scope, sockets } = (current ??= yield* open(address))
      yield* sockets.lost.pipe(
        Effect.raceFirst(Deferred.await(handedOver)),
        Effect.ensuring(
          Effect.suspend(() => {
            current = undefined
            return Scope.close(scope, Exit.void)
          })
        )
      )
    })
    yield* supervisor.supervise("dns-server", keepOpen)

    let limitedBefore = 0
    let failuresBefore = 0
    const watch = Effect.gen(function* () {
      const limited = counters.dropped.limited + counters.slipped.count
      if (limited > limitedBefore) {
        yield* Effect.logWarning("answers held back: more questions than EDGEPROXY_DNS_RATE_LIMIT from a network", {
          answers: limited - limitedBefore,
          seconds: WATCH_MS / 1_000
        })
      }
      if (failures > failuresBefore) {
        yield* Effect.logError(
          "questions answered with a server failure",
          { questions: failures - failuresBefore },
          lastFailure
        )
      }
      limitedBefore = limited
      failuresBefore = failures
    })
    yield* supervisor.supervise("dns-watch", watch.pipe(Effect.schedule(Schedule.spaced(WATCH_MS))))

    return DnsServer.of({ address })
  },
  Effect.annotateLogs({ service: "dns" })
)

/** Says no more than that: whatever made answering fail may be in the question. */
const serverFailure = (message: Uint8Array): Uint8Array => {
  const header = new Uint8Array(HEADER_BYTES)
  header.set(message.subarray(0, 2))
  new DataView(header.buffer).setUint16(2, FLAG.QR | RCODE.SERVFAIL)
  return header
}
