import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as SubscriptionRef from "effect/SubscriptionRef"
import { SourceError } from "../../src/routing/BackendSource.ts"
import { Bindings } from "../../src/routing/Bindings.ts"
import { Router } from "../../src/routing/Router.ts"
import { routingMetrics } from "../../src/routing/routingMetrics.ts"
import { RoutingTable, type TableSnapshot, type TableStatus } from "../../src/routing/RoutingTable.ts"
import { Upstreams } from "../../src/routing/Upstreams.ts"
import { read } from "../support/exposition.ts"
import { backend } from "../support/fixtures.ts"
import { request, routed, routing, type RoutingOptions } from "../support/routing.ts"
import { ticking } from "../support/ticking.ts"
import { hostless } from "../support/hostless.ts"

const fresh: TableStatus = {
  version: 0,
  origin: "none",
  backends: 0,
  quarantined: 0,
  ageMs: undefined,
  lost: undefined,
  held: undefined
}

/** Routing, a table that says what the test wants, and what a scrape shows of both. */
const make = Effect.fnUntraced(function* (options?: RoutingOptions) {
  let status = fresh
  const empty: TableSnapshot = {
    version: 0,
    origin: "none",
    backends: new Map(),
    quarantined: new Map(),
    badIds: new Set(),
    states: new Map()
  }
  const table = RoutingTable.of({
    ...hostless,
    snapshot: yield* SubscriptionRef.make(empty),
    firstTable: Effect.void,
    status: () => status,
    confirm: Effect.succeed(false),
    reconsider: Effect.void,
    apply: () => Effect.void
  })
  const services = yield* Layer.build(Layer.merge(routing(options), Layer.succeed(RoutingTable, table)))
  return yield* Effect.gen(function* () {
    return {
      upstreams: yield* Upstreams,
      router: yield* Router,
      bindings: yield* Bindings,
      scrape: read([yield* routingMetrics]),
      setStatus: (next: Partial<TableStatus>) => void (status = { ...status, ...next })
    }
  }).pipe(Effect.provideContext(services))
})

describe("M1: the series of a backend", () => {
  it.effect("start at zero with it, and go with it", () =>
    Effect.gen(function* () {
      const { scrape, upstreams } = yield* make()
      assert.strictEqual((yield* scrape).sum("edgeproxy_backend_up"), 0)
      upstreams.put(backend({ id: "b1", app: "web", region: "eu" }))
      const labels = { backend: "b1", app: "web", region: "eu" }
      const page = yield* scrape
      assert.strictEqual(page.value("edgeproxy_backend_up", labels), 1)
      for (const name of [
        "edgeproxy_backend_connections_active",
        "edgeproxy_backend_connections_total",
        "edgeproxy_backend_errors_total",
        "edgeproxy_backend_bytes_sent_total",
        "edgeproxy_backend_bytes_received_total",
        "edgeproxy_backend_rtt_seconds_count",
        "edgeproxy_backend_rtt_seconds_sum"
      ]) {
        assert.strictEqual(page.value(name, labels), 0, name)
      }
      upstreams.drop("b1")
      assert.deepStrictEqual(
        [...(yield* scrape).series.keys()].filter((key) => key.includes("b1")),
        []
      )
    })
  )

  it.effect("go on counting when its row changes, under the labels that it has now", () =>
    Effect.gen(function* () {
      const { router, scrape, upstreams } = yield* make()
      upstreams.put(backend({ id: "b1", region: "eu" }))
      const { row } = routed(router.route(request(1))).lease.upstream
      upstreams.counters.connected(row)
      upstreams.counters.dialled(row, 1_000)
      upstreams.put(backend({ id: "b1", region: "us", healthy: false }))
      const page = yield* scrape
      assert.strictEqual(page.value("edgeproxy_backend_connections_total", { backend: "b1", region: "us" }), 1)
      assert.isUndefined(page.value("edgeproxy_backend_connections_total", { region: "eu" }))
      assert.strictEqual(page.value("edgeproxy_backend_up"), 0)
    })
  )

  it.effect("are never those of another, however often rows come and go", () =>
    Effect.gen(function* () {
      const { scrape, upstreams } = yield* make()
      for (let round = 0; round < 50; round++) {
        for (let index = 0; index < 20; index++) {
          upstreams.put(backend({ id: `b${index}` }))
          const upstream = upstreams.get(`b${index}`)
          if (upstream !== undefined) upstreams.counters.carried(upstream.row, index, round)
        }
        for (let index = round % 2; index < 20; index += 2) upstreams.drop(`b${index}`)
      }
      const page = yield* scrape
      // The last round dropped the odd ones; the even ones have been there since the round before it.
      for (let index = 0; index < 20; index++) {
        const sent = page.value("edgeproxy_backend_bytes_sent_total", { backend: `b${index}` })
        assert.strictEqual(sent, index % 2 === 0 ? index : undefined, `b${index}`)
      }
    })
  )

  it.effect("take no more room however many backends have come and gone", () =>
    Effect.gen(function* () {
      const { upstreams } = yield* make()
      for (let index = 0; index < 1_000; index++) {
        upstreams.put(backend({ id: `b${index}` }))
        assert.isAtMost(upstreams.get(`b${index}`)?.row ?? Infinity, 3)
        upstreams.drop(`b${index - 1}`)
      }
    })
  )

  it.effect("tell connections that flow from those being dialled", () =>
    Effect.gen(function* () {
      const { router, scrape, upstreams } = yield* make()
      upstreams.put(backend({ id: "b1" }))
      const route = routed(router.route(request(1)))
      assert.strictEqual((yield* scrape).value("edgeproxy_backend_connections_active"), 0)
      router.commit(request(1), route)
      assert.strictEqual((yield* scrape).value("edgeproxy_backend_connections_active"), 1)
      router.end(route)
      assert.strictEqual((yield* scrape).value("edgeproxy_backend_connections_active"), 0)
    })
  )
})

describe("M1: the table and the bindings", () => {
  it.effect("rows by state, each in one", () =>
    Effect.gen(function* () {
      const { router, scrape, setStatus, upstreams } = yield* make()
      upstreams.put(backend({ id: "old" }))
      const route = routed(router.route(request(1)))
      upstreams.drop("old")
      for (const id of ["a", "b", "c"]) upstreams.put(backend({ id }))
      upstreams.put(backend({ id: "idle", weight: 0 }))
      upstreams.put(backend({ id: "ill", healthy: false }))
      upstreams.put(backend({ id: "leaving", draining: true }))
      upstreams.put(backend({ id: "silent", expired: true }))
      setStatus({ quarantined: 7 })
      const states = Effect.map(scrape, (page) =>
        ["up", "weight-zero", "down", "gone", "quarantined", "draining", "expired"].map((state) =>
          page.value("edgeproxy_table_backends", { state })
        )
      )
      assert.deepStrictEqual(yield* states, [3, 1, 1, 1, 7, 1, 1])
      router.end(route)
      assert.deepStrictEqual(yield* states, [3, 1, 1, 0, 7, 1, 1])
    })
  )

  it.effect("its age is not told before there is one", () =>
    Effect.gen(function* () {
      const { scrape, setStatus } = yield* make()
      const names = ["age_seconds", "updates_total", "source_up", "held"].map((name) => `edgeproxy_table_${name}`)
      const figures = Effect.map(scrape, (page) => names.map((name) => page.value(name)))
      assert.deepStrictEqual(yield* figures, [undefined, 0, 1, 0])
      const lost = new SourceError({ source: "sqlite", target: "x", reason: "missing", detail: "" })
      setStatus({ version: 3, ageMs: 1_500, lost, held: { eligible: 10, lost: 9 } })
      assert.deepStrictEqual(yield* figures, [1.5, 3, 0, 1])
    })
  )

  it.effect("A3: the bindings and those that had to make room", () =>
    Effect.gen(function* () {
      const { router, scrape, upstreams } = yield* make({ bindingMax: 3 })
      upstreams.put(backend({ id: "b1" }))
      for (let client = 0; client < 5; client++) router.end(routed(router.route(request(client))))
      const page = yield* scrape
      assert.strictEqual(page.value("edgeproxy_bindings"), 3)
      assert.strictEqual(page.value("edgeproxy_binding_evictions_total"), 2)
    })
  )
})

describe("a reading of a large table", () => {
  it.effect("lets others have their turns, and has every backend once although rows come and go meanwhile", () =>
    Effect.gen(function* () {
      const { scrape, upstreams } = yield* make()
      const count = 10_000
      for (let index = 0; index < count; index++) upstreams.put(backend({ id: `b${index}`, app: "web" }))
      let turns = 0
      const others = Effect.sync(() => {
        turns++
        // Leaves, and comes back as another record at the end of the list.
        const id = `b${(turns * 37) % count}`
        upstreams.drop(id)
        upstreams.put(backend({ id, app: "web" }))
      })
      yield* Effect.forkScoped(others.pipe(Effect.andThen(Effect.yieldNow), Effect.forever))
      // One millisecond for each look at the clock, and a look for each 64 backends: some 50 slices of 3 ms.
      const page = yield* ticking(1_000)(scrape)
      assert.isAtLeast(turns, 20)
      const seen = page.families.get("edgeproxy_backend_up")?.samples.length ?? 0
      assert.isAtMost(seen, count)
      assert.isAtLeast(seen, count - turns)
      assert.strictEqual(page.families.get("edgeproxy_backend_rtt_seconds")?.samples.length, seen * 9)
    })
  )
})
