import { assert, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/testing/TestClock"
import type { WarmPoolOptions } from "../../src/backends/WarmPool.ts"
import { connectionsOf } from "../../src/routing/Upstream.ts"
import * as Shutdown from "../../src/traffic/Shutdown.ts"
import { between, oneOf } from "../support/arbitraries.ts"
import { backend } from "../support/fixtures.ts"
import { settled } from "../support/settled.ts"
import { type Rig, type TrafficRigOptions, withBackends } from "../support/trafficRig.ts"

const options: WarmPoolOptions = {
  maxPerBackend: 4,
  idleTimeoutMs: 20_000,
  maxLifetimeMs: 300_000,
  connectMs: 5_000
}

const make = (backends = 1, more: Partial<TrafficRigOptions> = {}) =>
  withBackends(backends, { warm: options, routing: { ttlMs: 0 }, ...more })

/** A client comes, and is on its way. */
const arrive = Effect.fnUntraced(function* (rig: Rig, address?: string) {
  const id = rig.transport.accept(address)
  yield* settled
  return { id, dial: rig.transport.dial() }
})

/** A client comes and is served. */
const visit = Effect.fnUntraced(function* (rig: Rig, address?: string) {
  const { dial, id } = yield* arrive(rig, address)
  dial.succeed()
  yield* settled
  return { id, warm: dial.options.warm }
})

/** What is on the way to be opened ahead, is. */
const opened = Effect.fnUntraced(function* (rig: Rig) {
  for (const warm of rig.transport.warms) warm.succeed()
  yield* settled
})

const open = (rig: Rig): number => rig.transport.warms.filter(({ state }) => state === "open").length
const inEngine = (rig: Rig): number => rig.transport.service.census().warm
const waiting = (rig: Rig, id = "b1"): number => rig.upstreams.get(id)?.warm ?? -1

const see = (rig: Rig, id: string, up: boolean): void => {
  const upstream = rig.upstreams.get(id)
  if (upstream !== undefined) rig.upstreams.observe(upstream, { up })
}

/** Goes on long enough for the pool to have looked after its connections. */
const lookedAfter = Effect.andThen(TestClock.adjust(600), settled)

describe("WarmPool", () => {
  it.effect("opens none while it is off, and none ahead of the first client", () =>
    Effect.gen(function* () {
      const off = yield* withBackends(1)
      yield* visit(off)
      yield* lookedAfter
      assert.lengthOf(off.transport.warms, 0)
      const on = yield* make()
      yield* lookedAfter
      assert.lengthOf(on.transport.warms, 0)
    })
  )

  it.effect("gives the second client what it has opened after the first, and opens another", () =>
    Effect.gen(function* () {
      const rig = yield* make()
      assert.isUndefined((yield* visit(rig)).warm)
      assert.deepStrictEqual(rig.transport.warms[0]?.options, {
        address: { address: "10.0.0.1", port: 8_080 },
        connectMs: 5_000,
        keepaliveMs: 30_000
      })
      assert.lengthOf(rig.transport.warms, 1)
      assert.isUndefined((yield* visit(rig)).warm, "not open yet")
      yield* opened(rig)
      const { id, warm } = yield* visit(rig)
      assert.isDefined(warm)
      assert.strictEqual(rig.transport.warms.find((each) => each.id === warm)?.state, "bridged")
      rig.transport.end(id)
      assert.strictEqual(rig.entries.at(-1)?.attempts, 1)
      assert.strictEqual(rig.entries.at(-1)?.connect_ms, 1.5)
      const page = yield* rig.scrape
      assert.strictEqual(page.value("edgeproxy_warm_connections_total", { event: "used" }), 1)
      assert.strictEqual(page.value("edgeproxy_backend_connections_total", { backend: "b1" }), 3)
      assert.strictEqual(page.value("edgeproxy_backend_warm_connections", { backend: "b1" }), waiting(rig))
      // Two dials for clients and those ahead of them; one that was spared has no dial to measure.
      const dials = 2 + (page.value("edgeproxy_warm_connections_total", { event: "opened" }) ?? 0)
      assert.strictEqual(page.value("edgeproxy_backend_rtt_seconds_count", { backend: "b1" }), dials)
    })
  )

  it.effect("holds as many as the busiest second wanted, at most as many as it may", () =>
    Effect.gen(function* () {
      const rig = yield* make()
      yield* visit(rig)
      yield* opened(rig)
      assert.strictEqual(open(rig), 1)
      for (let client = 0; client < 3; client++) yield* visit(rig)
      yield* opened(rig)
      assert.strictEqual(open(rig), 4)
      for (let client = 0; client < 20; client++) yield* visit(rig)
      yield* opened(rig)
      assert.strictEqual(open(rig), 4)
    })
  )

  it.effect("lets those that nobody wants grow old, replaces them for a while, and then has none", () =>
    Effect.gen(function* () {
      const rig = yield* make()
      for (let client = 0; client < 2; client++) yield* visit(rig)
      yield* opened(rig)
      yield* TestClock.adjust(17_000)
      assert.strictEqual(rig.pool.count("expired"), 0)
      yield* TestClock.adjust(4_000)
      assert.strictEqual(rig.pool.count("expired"), 2)
      yield* opened(rig)
      assert.strictEqual(open(rig), 2)
      // Two idle timeouts without a client: what is opened until then grows old, and is the last.
      yield* TestClock.adjust(19_500)
      yield* opened(rig)
      const { length } = rig.transport.warms
      assert.isAtMost(length, 6)
      yield* TestClock.adjust(600_000)
      assert.lengthOf(rig.transport.warms, length)
      assert.strictEqual(inEngine(rig), 0)
    })
  )

  it.effect("takes the shorter of idle timeout and lifetime", () =>
    Effect.gen(function* () {
      const rig = yield* make(1, { warm: { ...options, maxLifetimeMs: 3_000 } })
      yield* visit(rig)
      yield* opened(rig)
      yield* TestClock.adjust(3_500)
      assert.strictEqual(rig.pool.count("expired"), 1)
    })
  )

  it.effect("leaves a backend that does not answer alone, for longer each time, then tries one", () =>
    Effect.gen(function* () {
      const rig = yield* make()
      for (let client = 0; client < 4; client++) yield* visit(rig)
      const failAll = (): void => {
        for (const warm of rig.transport.warms) warm.fail("Refused")
      }
      assert.lengthOf(rig.transport.warms, 4)
      const tried: Array<number> = []
      let suspected = 0
      rig.upstreams.onChange((change) => (suspected += Number(change._tag === "Suspect")))
      for (let second = 0; second < 300; second++) {
        failAll()
        yield* visit(rig)
        yield* TestClock.adjust(1_000)
        tried.push(rig.transport.warms.length)
      }
      // 1, 2, 4, 8, 16, 32 and 60 seconds, a quarter more or less: not once a second, and never more than one at a time.
      const total = tried.at(-1) ?? 0
      assert.isAtLeast(total, 4 + 6)
      assert.isAtMost(total, 4 + 14)
      for (const [index, count] of tried.slice(1).entries()) assert.isAtMost(count - (tried[index] ?? 0), 1)
      assert.strictEqual(rig.pool.count("failed"), total - Number(inEngine(rig) > 0))
      assert.isAtLeast(suspected, 10)
      assert.strictEqual(rig.upstreams.get("b1")?.observed.circuit._tag, "Closed")
      // It answers again: the next one that is tried opens, and when that has had a client there are all.
      yield* TestClock.adjust(76_000)
      yield* visit(rig)
      yield* opened(rig)
      assert.strictEqual(open(rig), 1)
      assert.isDefined((yield* visit(rig)).warm)
      yield* opened(rig)
      assert.isAtLeast(open(rig), 1)
      for (let client = 0; client < 4; client++) yield* visit(rig)
      yield* opened(rig)
      assert.strictEqual(open(rig), 4)
    })
  )

  it.effect("pauses too when the backend ends those that wait, and when the engine has lost them", () =>
    Effect.gen(function* () {
      const rig = yield* make()
      for (let client = 0; client < 3; client++) yield* visit(rig)
      yield* opened(rig)
      for (const warm of rig.transport.warms) warm.fail("WarmGone")
      yield* settled
      assert.strictEqual(rig.pool.count("lost"), 3)
      assert.strictEqual(inEngine(rig), 0)
      yield* visit(rig)
      assert.strictEqual(inEngine(rig), 0)
      yield* TestClock.adjust(2_000)
      assert.strictEqual(inEngine(rig), 1)
    })
  )

  it.effect("one that is dead at the hand-over: the same backend is dialled, and nobody is blamed", () =>
    Effect.gen(function* () {
      const rig = yield* make(2, {
        routing: { circuit: { failureThreshold: 1, successThreshold: 1, timeoutMs: 9_000 } }
      })
      const first = yield* visit(rig)
      const own = rig.transport.dial().options.address
      yield* opened(rig)
      const { dial, id } = yield* arrive(rig)
      assert.isDefined(dial.options.warm)
      dial.fail("WarmGone")
      yield* settled
      const fresh = rig.transport.dial()
      assert.notStrictEqual(fresh, dial)
      assert.strictEqual(fresh.id, id)
      assert.isUndefined(fresh.options.warm)
      assert.deepStrictEqual(fresh.options.address, own)
      fresh.succeed(2_500)
      yield* settled
      rig.transport.end(id)
      rig.transport.end(first.id)
      const entry = rig.entries.find(({ connect_ms }) => connect_ms === 2.5)
      assert.strictEqual(entry?.attempts, 1)
      const page = yield* rig.scrape
      for (const id of ["b1", "b2"]) {
        assert.strictEqual(page.value("edgeproxy_backend_errors_total", { backend: id }), 0)
        assert.strictEqual(page.value("edgeproxy_circuit_state", { backend: id }), 0)
        assert.strictEqual(rig.load(id), 0)
      }
      assert.strictEqual(page.sum("edgeproxy_dial_failures_total"), 0)
      assert.strictEqual(rig.pool.count("gone"), 1)
    })
  )

  it.effect("one that is dead, and so is its backend: the next candidate is tried", () =>
    Effect.gen(function* () {
      const rig = yield* make(2, { routing: {} })
      yield* visit(rig)
      const own = rig.transport.dial().options.address
      yield* opened(rig)
      const { dial } = yield* arrive(rig)
      dial.fail("WarmGone")
      yield* settled
      rig.transport.dial().fail("Refused")
      yield* settled
      const next = rig.transport.dial()
      assert.notDeepEqual(next.options.address, own)
      next.succeed()
      yield* settled
      rig.transport.end(next.id)
      assert.strictEqual(rig.entries.at(-1)?.attempts, 2)
    })
  )

  it.effect("one that ends right after the hand-over: the same place is dialled for, and counts once", () =>
    Effect.gen(function* () {
      const rig = yield* make(1, { connection: { attempts: 1 } })
      yield* visit(rig)
      yield* opened(rig)
      const { id } = yield* visit(rig)
      rig.transport.unbridge(id, "WarmGone")
      yield* settled
      const fresh = rig.transport.dial()
      assert.deepStrictEqual([fresh.id, fresh.options.warm], [id, undefined])
      assert.strictEqual(rig.load("b1"), 2)
      fresh.succeed(3_000)
      yield* settled
      assert.strictEqual(rig.load("b1"), 2)
      rig.transport.end(id)
      assert.strictEqual(rig.load("b1"), 1)
      const entry = rig.entries.at(-1)
      assert.deepStrictEqual([entry?.attempts, entry?.connect_ms, entry?.end_cause], [1, 3, "fin"])
      const page = yield* rig.scrape
      assert.strictEqual(page.value("edgeproxy_backend_connections_total", { backend: "b1" }), 2)
      assert.strictEqual(page.sum("edgeproxy_dial_failures_total"), 0)
    })
  )

  it.effect("one that ends right after the hand-over, of a backend that is gone: as if its dial had failed", () =>
    Effect.gen(function* () {
      const rig = yield* make(2, { routing: {} })
      yield* visit(rig)
      yield* opened(rig)
      const { id } = yield* visit(rig)
      const own = rig.transport.dial().options.address
      rig.transport.unbridge(id, "WarmGone")
      yield* settled
      rig.transport.dial().fail("Refused")
      yield* settled
      assert.notDeepEqual(rig.transport.dial().options.address, own)
      rig.transport.dial().succeed()
      yield* settled
      assert.strictEqual(rig.load("b1") + rig.load("b2"), 2)
    })
  )

  it.effect("stays within the hard limit: a client takes the place of one that waits or is on its way", () =>
    Effect.gen(function* () {
      const rig = yield* make()
      rig.upstreams.put(backend({ id: "b1", address: "10.0.0.1", region: "sa", hardLimit: 3 }))
      const sum = (): number => rig.load("b1") + waiting(rig)
      yield* visit(rig)
      assert.deepStrictEqual([rig.load("b1"), waiting(rig)], [1, 1])
      yield* visit(rig)
      assert.deepStrictEqual([rig.load("b1"), waiting(rig)], [2, 1])
      // It is still on its way: discarded for the client.
      const third = yield* visit(rig)
      assert.isUndefined(third.warm)
      assert.deepStrictEqual([rig.load("b1"), waiting(rig), inEngine(rig)], [3, 0, 0])
      rig.transport.end(third.id)
      yield* lookedAfter
      yield* opened(rig)
      assert.strictEqual(sum(), 3)
      assert.isDefined((yield* visit(rig)).warm)
      assert.deepStrictEqual([rig.load("b1"), waiting(rig)], [3, 0])
    })
  )

  it.effect("closes those of a backend that is found down or whose circuit opens, in the same turn", () =>
    Effect.gen(function* () {
      const rig = yield* make(1, {
        routing: { ttlMs: 0, circuit: { failureThreshold: 1, successThreshold: 1, timeoutMs: 9_000 } }
      })
      yield* visit(rig)
      yield* opened(rig)
      see(rig, "b1", false)
      assert.deepStrictEqual([inEngine(rig), waiting(rig)], [0, 0])
      // The only one: in a panic it is tried all the same (H3), but nothing is opened ahead.
      yield* visit(rig)
      yield* lookedAfter
      assert.strictEqual(inEngine(rig), 0)
      see(rig, "b1", true)
      yield* visit(rig)
      yield* opened(rig)
      assert.strictEqual(open(rig), 1)
      const { dial } = yield* arrive(rig)
      dial.fail("WarmGone")
      yield* settled
      rig.transport.dial().fail("Refused")
      assert.strictEqual(rig.upstreams.get("b1")?.observed.circuit._tag, "Open")
      yield* settled
      assert.strictEqual(inEngine(rig), 0)
    })
  )

  for (const [what, fields] of [
    ["is drained", { draining: true }],
    ["is unhealthy", { healthy: false }],
    ["has expired", { expired: true }]
  ] as const) {
    it.effect(`closes those of a backend that ${what}`, () =>
      Effect.gen(function* () {
        const rig = yield* make()
        yield* visit(rig)
        yield* opened(rig)
        rig.upstreams.put(backend({ id: "b1", address: "10.0.0.1", region: "sa", ...fields }))
        yield* lookedAfter
        assert.deepStrictEqual([inEngine(rig), waiting(rig)], [0, 0])
      })
    )
  }

  it.effect("closes those of a backend that leaves the table", () =>
    Effect.gen(function* () {
      const rig = yield* make()
      yield* visit(rig)
      yield* opened(rig)
      rig.upstreams.drop("b1")
      yield* lookedAfter
      assert.strictEqual(inEngine(rig), 0)
    })
  )

  it.effect("never gives a client one to where the backend was before", () =>
    Effect.gen(function* () {
      const rig = yield* make()
      yield* visit(rig)
      yield* opened(rig)
      rig.upstreams.put(backend({ id: "b1", address: "10.9.9.9", region: "sa" }))
      assert.isUndefined((yield* visit(rig)).warm)
      assert.strictEqual(rig.transport.warms[0]?.state, "discarded")
      assert.strictEqual(rig.transport.warms[1]?.options.address.address, "10.9.9.9")
    })
  )

  it.effect("is bounded over all backends, and gives way to clients when descriptors get scarce", () =>
    Effect.gen(function* () {
      const rig = yield* make(5, { warmLimits: { most: 6, connections: 30 } })
      for (let client = 0; client < 24; client++) yield* visit(rig, `203.0.113.${client}`)
      yield* opened(rig)
      assert.strictEqual(inEngine(rig), 6)
      for (let client = 24; client < 34; client++) {
        yield* visit(rig, `203.0.113.${client}`)
        assert.isAtMost(inEngine(rig), Math.max(0, 30 - rig.admission.active()))
      }
      assert.strictEqual(inEngine(rig), 0)
      assert.strictEqual(rig.connections.size(), 34)
    })
  )

  it.effect("can be turned off, on and down while it runs", () =>
    Effect.gen(function* () {
      const rig = yield* make()
      for (let client = 0; client < 4; client++) yield* visit(rig)
      yield* opened(rig)
      rig.pool.setOptions({ ...options, maxPerBackend: 1 })
      yield* lookedAfter
      assert.strictEqual(inEngine(rig), 1)
      rig.pool.setOptions(undefined)
      assert.deepStrictEqual([inEngine(rig), waiting(rig), rig.pool.size()], [0, 0, 0])
      assert.isUndefined((yield* visit(rig)).warm)
      yield* lookedAfter
      assert.strictEqual(inEngine(rig), 0)
      rig.pool.setOptions({ ...options, connectMs: 777 })
      yield* visit(rig)
      assert.strictEqual(rig.transport.warms.at(-1)?.options.connectMs, 777)
    })
  )

  it.effect("closes all when the process is to end, and opens no more", () =>
    Effect.gen(function* () {
      const rig = yield* make(1, { drain: { graceMs: 5_000 } })
      yield* visit(rig)
      yield* opened(rig)
      Shutdown.request(rig.shutdown)
      yield* settled
      assert.strictEqual(inEngine(rig), 0)
      assert.isUndefined((yield* visit(rig)).warm)
      yield* lookedAfter
      assert.strictEqual(inEngine(rig), 0)
    })
  )
})

interface Step {
  readonly kind: "come" | "dial" | "end" | "warm" | "warmFail" | "unbridge" | "put" | "check" | "options" | "wait"
  readonly pick: number
  readonly flag: boolean
}

const steps: Arbitrary.Arbitrary<ReadonlyArray<Step>> = Arbitrary.array(
  Arbitrary.all({
    kind: oneOf<Step["kind"]>([
      "come",
      "come",
      "come",
      "come",
      "dial",
      "dial",
      "dial",
      "end",
      "end",
      "warm",
      "warm",
      "warmFail",
      "unbridge",
      "put",
      "check",
      "options",
      "wait"
    ]),
    pick: Arbitrary.schema(between(0, 999)),
    flag: oneOf([true, false])
  }),
  { maxLength: 150 }
)

describe("WarmPool, whatever happens", () => {
  it.effect.prop(
    "keeps within hard limits and its own, loses none from sight, and gives none away twice",
    [steps],
    ([script]) =>
      Effect.gen(function* () {
        const rig = yield* make(3, { warmLimits: { most: 7, connections: 24 } })
        const limitOf = new Map<string, number>()
        const put = (id: string, hardLimit: number): void => {
          limitOf.set(id, hardLimit)
          rig.upstreams.put(backend({ id, address: `10.0.0.${id.slice(1)}`, region: "sa", hardLimit }))
        }
        for (const id of ["b1", "b2", "b3"]) put(id, 4)
        const clients: Array<number> = []
        const answered = new Set<unknown>()
        for (const { flag, kind, pick } of script) {
          const at = <A>(list: ReadonlyArray<A>): A | undefined => list[pick % Math.max(1, list.length)]
          const client = at(clients)
          switch (kind) {
            case "come":
              clients.push(rig.transport.accept(`203.0.113.${pick % 250}`))
              break
            case "dial": {
              const dial = at(rig.transport.dials.filter((each) => !answered.has(each)))
              answered.add(dial)
              if (flag || pick % 3 > 0) dial?.succeed()
              else dial?.fail(dial.options.warm === undefined ? "Refused" : "WarmGone")
              break
            }
            case "end":
              if (client !== undefined) rig.transport.end(client)
              break
            case "warm":
              at(rig.transport.warms.filter(({ state }) => state === "opening"))?.succeed()
              break
            case "warmFail":
              at(rig.transport.warms)?.fail(flag ? "WarmGone" : "Refused")
              break
            case "unbridge": {
              const dial = rig.transport.dials.findLast(
                ({ id, options: { warm } }) => id === client && warm !== undefined
              )
              const record = client === undefined ? undefined : rig.connections.get(client)
              // Of one that is bridged over what was opened ahead.
              const last = rig.transport.dials.findLast(({ id }) => id === client)
              if (client !== undefined && dial !== undefined && dial === last && record?.connectUs !== undefined)
                rig.transport.unbridge(client, "WarmGone")
              break
            }
            case "put":
              put(`b${1 + (pick % 3)}`, 1 + (pick % 7))
              break
            case "check":
              see(rig, `b${1 + (pick % 3)}`, flag)
              break
            case "options":
              rig.pool.setOptions(pick % 4 === 0 ? undefined : { ...options, maxPerBackend: 1 + (pick % 5) })
              break
            case "wait":
              yield* TestClock.adjust(pick * 40)
          }
          yield* settled
          // A limit that has just been lowered is kept from the next look on.
          if (kind === "put" || kind === "options") yield* lookedAfter
          let warm = 0
          for (const upstream of rig.upstreams.all()) {
            warm += upstream.warm
            const limit = limitOf.get(upstream.backend.id) ?? 0
            if (upstream.warm > 0) assert.isAtMost(connectionsOf(upstream) + upstream.warm, limit)
          }
          assert.strictEqual(warm, inEngine(rig), "known to the pool and to the engine")
          assert.strictEqual(warm, rig.pool.size())
          assert.isAtMost(warm, 7)
          assert.isTrue(warm === 0 || warm <= 24 - rig.admission.active())
          const given = rig.transport.dials.flatMap(({ options: { warm } }) => (warm === undefined ? [] : [warm]))
          assert.strictEqual(new Set(given).size, given.length, "given away once")
        }
        assert.isAtLeast(rig.pool.count("opened"), rig.pool.count("used"))
        rig.pool.setOptions(undefined)
        assert.strictEqual(inEngine(rig), 0)
      }),
    { arbitrary: { runs: 40, size: 150 }, timeout: 60_000 }
  )
})
