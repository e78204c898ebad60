import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as FiberMap from "effect/FiberMap"
import * as Layer from "effect/Layer"
import * as Random from "effect/Random"
import * as Result from "effect/Result"
import * as Semaphore from "effect/Semaphore"
import * as Stream from "effect/Stream"
import * as SubscriptionRef from "effect/SubscriptionRef"
import { Supervisor } from "../actor/Supervisor.ts"
import { hostLiteral } from "../domain/Backend.ts"
import { Collectors } from "../observe/Collectors.ts"
import { Conditions } from "../observe/Conditions.ts"
import { counter, gauge, noLabels } from "../observe/Metric.ts"
import { type HostAddress, inOrder, same } from "./HostAddresses.ts"
import { type HostAnswer, HostError, HostResolver, isUnanswered } from "./HostResolver.ts"
import { RoutingTable } from "./RoutingTable.ts"

export interface HostResolutionOptions {
  /** Why backends may not be at an address, whatever the port; undefined when they may. */
  readonly refuses: (address: string) => string | undefined
}

/** A name is looked up again when its TTL is over, but neither more often than this nor more seldom. */
export const FLOOR_MS = 5_000
export const CAP_MS = 300_000

/** After a failure; doubled with each that follows, up to the cap. */
export const RETRY_MS = 5_000
const MAX_RETRY_MS = 60_000

/** Names that are looked up at once. */
const AT_ONCE = 16

const hosts = gauge("edgeproxy_hosts", "Host names in the routing table; failing: the last look-up led nowhere.")
const addressCount = gauge("edgeproxy_host_addresses", "Addresses that the host names of the table lead to.")
const lookups = counter("edgeproxy_host_lookups_total", "Look-ups of host names, by how they ended.")

/**
 * Keeps the addresses of the hosts that rows name (R9): each host has a fiber that looks it up again when its TTL is over.
 * Where looking up fails, or leads only to where backends may not be, the last good addresses stay: a name server that is
 * down, and a name that somebody has turned on this host's secrets, change nothing for traffic.
 */
export class HostResolution extends Context.Service<
  HostResolution,
  {
    /** Hosts whose last look-up led nowhere, and why. */
    readonly failing: () => ReadonlyMap<string, HostError>
  }
>()("edgeproxy/routing/HostResolution") {
  static readonly layer = (
    options: HostResolutionOptions
  ): Layer.Layer<HostResolution, never, Collectors | Conditions | HostResolver | RoutingTable | Supervisor> =>
    Layer.effect(HostResolution, make(options))
}

export const make = Effect.fnUntraced(
  function* ({ refuses }: HostResolutionOptions) {
    const { resolve } = yield* HostResolver
    const table = yield* RoutingTable
    const supervisor = yield* Supervisor
    const collectors = yield* Collectors
    const conditions = yield* Conditions
    const permits = yield* Semaphore.make(AT_ONCE)
    const fibers = yield* FiberMap.make<string>()
    const run = yield* FiberMap.runtime(fibers)()
    const known = new Set<string>()
    const failing = new Map<string, HostError>()
    const counts = { found: 0, failed: 0 }

    const reasonOf = ({ address }: HostAddress): string | undefined =>
      Result.match(hostLiteral(address), {
        onFailure: (expected) => `${address} is not ${expected}`,
        onSuccess: refuses
      })

    const usable = Effect.fnUntraced(function* (host: string, answer: HostAnswer) {
      const { addresses } = answer
      const refused = addresses.flatMap((each) => reasonOf(each) ?? [])
      const allowed = addresses.filter((each) => reasonOf(each) === undefined)
      if (allowed.length === 0) {
        return yield* new HostError({ host, reason: "unusable", detail: refused[0] ?? "it has no address" })
      }
      if (refused.length > 0) yield* Effect.logDebug("addresses of a host are not used", { host, refused })
      const isNew = ({ address, port }: HostAddress): boolean =>
        allowed.some((each) => each.address === address && each.port === port)
      const kept = table.addressesOf(host).filter((known) => isUnanswered(answer, known) && !isNew(known))
      return inOrder([...allowed, ...kept])
    })

    const take = Effect.fnUntraced(function* (host: string, addresses: ReadonlyArray<HostAddress>) {
      counts.found++
      if (failing.delete(host)) yield* Effect.logInfo("host found again", { host })
      if (!same(table.addressesOf(host), addresses)) yield* table.setAddresses(host, addresses)
    })

    const fail = Effect.fnUntraced(function* (host: string, error: HostError) {
      counts.failed++
      const before = failing.get(host)
      failing.set(host, error)
      if (before?.reason === error.reason) return
      const kept = table.addressesOf(host).length
      yield* Effect.logWarning("host not found; its last addresses stay", { reason: error.message, kept })
    })

    /** Milliseconds until the next look-up. */
    const lookUp = Effect.fnUntraced(function* (host: string, failures: number) {
      const found = yield* permits.withPermit(resolve(host)).pipe(
        Effect.flatMap((answer) => Effect.map(usable(host, answer), (addresses) => ({ ...answer, addresses }))),
        Effect.result
      )
      if (Result.isFailure(found)) {
        yield* fail(host, found.failure)
        return Math.min(MAX_RETRY_MS, RETRY_MS * 2 ** failures)
      }
      yield* take(host, found.success.addresses)
      return Math.min(CAP_MS, Math.max(FLOOR_MS, found.success.ttlSecs * 1_000))
    })

    const follow = Effect.fnUntraced(function* (host: string) {
      let failures = 0
      while (true) {
        const waitMs = yield* lookUp(host, failures).pipe(
          Effect.catchCause((cause) =>
            Effect.as(Effect.logError("looking up a host failed by a fault of the proxy", { host }, cause), CAP_MS)
          )
        )
        failures = failing.has(host) ? failures + 1 : 0
        // Not all at once, and never before the TTL is over by much.
        yield* Effect.sleep(Math.round(waitMs * (0.95 + 0.1 * (yield* Random.next))))
      }
    })

    const reconcile = Effect.gen(function* () {
      const wanted = table.hosts()
      for (const host of Array.from(known)) {
        if (wanted.has(host)) continue
        known.delete(host)
        failing.delete(host)
        yield* FiberMap.remove(fibers, host)
      }
      for (const host of wanted) {
        if (known.has(host)) continue
        known.add(host)
        run(host, follow(host))
      }
    })

    yield* supervisor.supervise(
      "hosts",
      SubscriptionRef.changes(table.snapshot).pipe(
        Stream.buffer({ capacity: 1, strategy: "sliding" }),
        Stream.runForEach(() => reconcile)
      )
    )
    yield* conditions.watch("hosts-not-found", () => failing.size > 0)
    yield* collectors.add({
      collect: (sink) =>
        Effect.sync(() => {
          sink.sample(hosts, { state: "found" }, known.size - failing.size)
          sink.sample(hosts, { state: "failing" }, failing.size)
          sink.sample(lookups, { result: "found" }, counts.found)
          sink.sample(lookups, { result: "failed" }, counts.failed)
          sink.sample(
            addressCount,
            noLabels,
            Array.from(known).reduce((sum, host) => sum + table.addressesOf(host).length, 0)
          )
        })
    })

    return HostResolution.of({ failing: () => failing })
  },
  Effect.annotateLogs({ service: "hosts" })
)
