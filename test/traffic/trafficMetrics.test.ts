import { assert, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/testing/TestClock"
import { between, oneOf } from "../support/arbitraries.ts"
import { type Exposition, fallen } from "../support/exposition.ts"
import { backend } from "../support/fixtures.ts"
import type { Dial } from "../support/ScriptedTransport.ts"
import { settled } from "../support/settled.ts"
import { ticking } from "../support/ticking.ts"
import * as trafficRig from "../support/trafficRig.ts"

const SENT = "edgeproxy_bytes_sent_total"
const RECEIVED = "edgeproxy_bytes_received_total"
const BACKEND_SENT = "edgeproxy_backend_bytes_sent_total"
const BACKEND_RECEIVED = "edgeproxy_backend_bytes_received_total"

const listener = { listener: "0.0.0.0:8080", app: "" }

/** Accepts a client and connects it to whatever the router chooses. */
const bridged = Effect.fnUntraced(function* (
  { transport }: { transport: trafficRig.Rig["transport"] },
  address?: string
) {
  const id = transport.accept(address)
  yield* settled
  transport.dial().succeed()
  yield* settled
  return id
})

describe("M2: byte counters", () => {
  it.effect("move while the connection is open, and not at all when it ends", () =>
    Effect.gen(function* () {
      const rig = yield* trafficRig.withBackends(1)
      const { scrape, transport } = rig
      const both = (page: Exposition) => [
        page.value(SENT, listener),
        page.value(BACKEND_SENT, { backend: "b1" }),
        page.value(RECEIVED, listener),
        page.value(BACKEND_RECEIVED, { backend: "b1" })
      ]
      assert.deepStrictEqual(both(yield* scrape), [0, 0, 0, 0])
      const id = yield* bridged(rig)
      transport.set(id, { bytesIn: 100, bytesOut: 5_000_000_000 })
      assert.deepStrictEqual(both(yield* scrape), [100, 100, 5_000_000_000, 5_000_000_000])
      // Asking again counts nothing again.
      assert.deepStrictEqual(both(yield* scrape), [100, 100, 5_000_000_000, 5_000_000_000])
      transport.set(id, { bytesIn: 150 })
      assert.deepStrictEqual(both(yield* scrape), [150, 150, 5_000_000_000, 5_000_000_000])
      transport.end(id, { bytesIn: 175, bytesOut: 5_000_000_001 })
      assert.deepStrictEqual(both(yield* scrape), [175, 175, 5_000_000_001, 5_000_000_001])
    })
  )

  it.effect("belong to the backend that carries the connection, not to those that were tried", () =>
    Effect.gen(function* () {
      const { load, scrape, transport } = yield* trafficRig.withBackends(2)
      const id = transport.accept()
      yield* settled
      const [first, second] = load("b1") === 1 ? ["b1", "b2"] : ["b2", "b1"]
      transport.dial().succeed()
      yield* settled
      transport.unbridge(id)
      yield* settled
      transport.dial().succeed()
      yield* settled
      transport.set(id, { bytesIn: 10, bytesOut: 20 })
      const page = yield* scrape
      assert.deepStrictEqual(
        [first, second].map((backend) => [
          page.value(BACKEND_SENT, { backend }),
          page.value("edgeproxy_backend_errors_total", { backend }),
          page.value("edgeproxy_backend_connections_total", { backend }),
          page.value("edgeproxy_backend_connections_active", { backend })
        ]),
        [
          [0, 1, 1, 0],
          [10, 0, 1, 1]
        ]
      )
    })
  )

  it.effect("do not move while no backend carries the connection", () =>
    Effect.gen(function* () {
      const { scrape, transport } = yield* trafficRig.withBackends(1)
      const id = transport.accept()
      yield* settled
      // What an engine has read ahead.
      transport.set(id, { bytesIn: 30 })
      assert.strictEqual((yield* scrape).value(SENT, listener), 0)
      transport.dial().succeed()
      yield* settled
      assert.strictEqual((yield* scrape).value(SENT, listener), 30)
    })
  )

  it.effect("never fall when an engine ends a connection with less than it has told before", () =>
    Effect.gen(function* () {
      const rig = yield* trafficRig.withBackends(1)
      const id = yield* bridged(rig)
      rig.transport.set(id, { bytesIn: 100, bytesOut: 100 })
      const before = yield* rig.scrape
      rig.transport.end(id, { bytesIn: 40, bytesOut: 0 })
      const after = yield* rig.scrape
      assert.deepStrictEqual(fallen(before, after), [])
      assert.strictEqual(after.value(SENT, listener), 100)
    })
  )

  it.effect("of a backend outlive its row while connections run on it, and the listener's for good", () =>
    Effect.gen(function* () {
      const rig = yield* trafficRig.withBackends(1)
      const { scrape, transport, upstreams } = rig
      const id = yield* bridged(rig)
      transport.set(id, { bytesIn: 100 })
      upstreams.drop("b1")
      const leaving = yield* scrape
      assert.strictEqual(leaving.value(BACKEND_SENT, { backend: "b1" }), 100)
      assert.strictEqual(leaving.value("edgeproxy_backend_up", { backend: "b1" }), 0)
      assert.strictEqual(leaving.value("edgeproxy_table_backends", { state: "gone" }), 1)
      // The row comes back: the series goes on.
      upstreams.put(backend({ id: "b1", address: "10.0.0.1", region: "sa" }))
      transport.set(id, { bytesIn: 200 })
      assert.strictEqual((yield* scrape).value(BACKEND_SENT, { backend: "b1" }), 200)
      upstreams.drop("b1")
      transport.end(id)
      const gone = yield* scrape
      assert.isUndefined(gone.value(BACKEND_SENT, { backend: "b1" }))
      assert.strictEqual(gone.value(SENT, listener), 200)
      // Another backend by the same name starts at zero.
      upstreams.put(backend({ id: "b1", address: "10.0.0.1", region: "sa" }))
      const anew = yield* scrape
      assert.strictEqual(anew.value(BACKEND_SENT, { backend: "b1" }), 0)
      assert.strictEqual(anew.value(SENT, listener), 200)
    })
  )
})

describe("M1: the life of a connection", () => {
  it.effect("is counted at its accept, its dial and its end", () =>
    Effect.gen(function* () {
      const rig = yield* trafficRig.withBackends(1)
      const { scrape, transport } = rig
      const id = transport.accept()
      yield* settled
      yield* TestClock.adjust(40)
      transport.dial().succeed(3_000)
      yield* settled
      const open = yield* scrape
      const figures = (page: Exposition) => [
        page.value("edgeproxy_connections_total", listener),
        page.value("edgeproxy_connections_active", listener),
        page.value("edgeproxy_backend_connections_total", { backend: "b1" }),
        page.value("edgeproxy_backend_connections_active", { backend: "b1" }),
        page.value("edgeproxy_terminations_total", { by: "backend", phase: "relay", cause: "fin" })
      ]
      assert.deepStrictEqual(figures(open), [1, 1, 1, 1, 0])
      assert.strictEqual(open.value("edgeproxy_connect_seconds_bucket", { le: "0.025" }), 0)
      assert.strictEqual(open.value("edgeproxy_connect_seconds_bucket", { le: "0.05" }), 1)
      assert.strictEqual(open.value("edgeproxy_connect_seconds_sum"), 0.04)
      assert.strictEqual(open.value("edgeproxy_backend_rtt_seconds_bucket", { backend: "b1", le: "0.001" }), 0)
      assert.strictEqual(open.value("edgeproxy_backend_rtt_seconds_bucket", { backend: "b1", le: "0.005" }), 1)
      assert.strictEqual(open.value("edgeproxy_backend_rtt_seconds_sum", { backend: "b1" }), 0.003)
      assert.strictEqual(open.value("edgeproxy_connection_seconds_count", listener), 0)
      assert.strictEqual(open.value("edgeproxy_routed_total", { tier: "2", affinity: "new" }), 1)

      yield* TestClock.adjust(5_000)
      transport.end(id, { by: "backend" })
      const closed = yield* scrape
      assert.deepStrictEqual(figures(closed), [1, 0, 1, 0, 1])
      assert.strictEqual(closed.value("edgeproxy_connection_seconds_bucket", { le: "1" }), 0)
      assert.strictEqual(closed.value("edgeproxy_connection_seconds_bucket", { le: "10" }), 1)
      assert.strictEqual(closed.value("edgeproxy_connection_seconds_sum"), 5.04)
      assert.strictEqual(closed.value("edgeproxy_backend_errors_total", { backend: "b1" }), 0)
    })
  )

  it.effect("a failed dial counts against the backend only when it is the backend's fault", () =>
    Effect.gen(function* () {
      const { scrape, transport } = yield* trafficRig.withBackends(1)
      for (const reason of ["Refused", "Timeout", "NoPorts", "Gone"] as const) {
        const id = transport.accept()
        yield* settled
        transport.dial().fail(reason)
        yield* settled
        transport.end(id)
      }
      const page = yield* scrape
      assert.strictEqual(page.value("edgeproxy_backend_errors_total", { backend: "b1" }), 2)
      assert.strictEqual(page.value("edgeproxy_backend_connections_total", { backend: "b1" }), 0)
      for (const [reason, count] of [
        ["refused", 1],
        ["timeout", 1],
        ["no-ports", 1],
        ["client-gone", 1],
        ["rst", 0]
      ] as const) {
        assert.strictEqual(page.value("edgeproxy_dial_failures_total", { reason }), count, reason)
      }
    })
  )

  it.effect.each([
    ["rst", 1],
    ["stall-timeout", 1],
    ["peer-lost", 1],
    ["fin", 0]
  ] as const)("a backend that ends a relay with %s makes %d errors", ([cause, errors]) =>
    Effect.gen(function* () {
      const rig = yield* trafficRig.withBackends(1)
      rig.transport.end(yield* bridged(rig), { by: "backend", phase: "relay", cause })
      assert.strictEqual((yield* rig.scrape).value("edgeproxy_backend_errors_total", { backend: "b1" }), errors)
    })
  )

  it.effect("a dial that succeeds as its client goes is the backend's success, whatever has become of its row", () =>
    Effect.gen(function* () {
      const { scrape, transport, upstreams } = yield* trafficRig.withBackends(1)
      const id = transport.accept()
      yield* settled
      transport.end(id, { by: "client", phase: "dial", cause: "rst" })
      transport.dial().succeed()
      yield* settled
      assert.strictEqual((yield* scrape).value("edgeproxy_backend_connections_total", { backend: "b1" }), 1)
      const other = transport.accept()
      yield* settled
      upstreams.drop("b1")
      transport.end(other, { by: "client", phase: "dial", cause: "rst" })
      // Takes the room that b1 has left.
      upstreams.put(backend({ id: "b2", region: "sa" }))
      transport.dial().succeed()
      yield* settled
      assert.strictEqual((yield* scrape).value("edgeproxy_backend_connections_total", { backend: "b2" }), 0)
    })
  )

  it.effect("C5: who is turned away is counted as rejected and not as a connection", () =>
    Effect.gen(function* () {
      const { scrape, transport } = yield* trafficRig.withBackends(1, { maxConnections: 1 })
      const before = yield* scrape
      assert.deepStrictEqual(
        ["limit", "no-address"].map((reason) => before.value("edgeproxy_rejected_total", { reason })),
        [0, 0]
      )
      assert.strictEqual(before.value("edgeproxy_accepting_paused"), 0)
      transport.accept("no address")
      const id = transport.accept()
      transport.accept()
      transport.listeners[0]?.events.onAcceptError({ code: "limit", count: 3 })
      transport.listeners[0]?.events.onAcceptError({ code: "EMFILE", count: 2 })
      yield* settled
      const full = yield* scrape
      assert.strictEqual(full.value("edgeproxy_rejected_total", { reason: "limit" }), 4)
      assert.strictEqual(full.value("edgeproxy_rejected_total", { reason: "no-address" }), 1)
      assert.strictEqual(full.value("edgeproxy_accept_errors_total", { code: "EMFILE" }), 2)
      assert.strictEqual(full.sum("edgeproxy_connections_total"), 1)
      assert.strictEqual(full.value("edgeproxy_accepting_paused"), 1)
      assert.strictEqual(full.value("edgeproxy_connections_limit"), 1)
      transport.end(id)
      assert.strictEqual((yield* scrape).value("edgeproxy_accepting_paused"), 0)
    })
  )

  it.effect("an overload is shown, counted, and the reason for those whom an engine had to reset", () =>
    Effect.gen(function* () {
      const played = { share: 0.5 }
      const memory = { share: Effect.sync(() => played.share), collect: Effect.void }
      const { scrape, transport } = yield* trafficRig.withBackends(1, { overload: { memory } })
      const resource = "memory"
      const shown = Effect.map(scrape, (page) => [
        page.value("edgeproxy_overloaded", { resource }),
        page.value("edgeproxy_overloads_total", { resource }),
        page.value("edgeproxy_accepting_paused"),
        page.value("edgeproxy_rejected_total", { reason: "overload" })
      ])
      yield* TestClock.adjust(2_000)
      assert.deepStrictEqual(yield* shown, [0, 0, 0, 0])
      played.share = 0.95
      yield* TestClock.adjust(2_000)
      assert.strictEqual(transport.listeners[0]?.pausedFor, "overload")
      transport.listeners[0]?.events.onAcceptError({ code: "overload", count: 3 })
      assert.deepStrictEqual(yield* shown, [1, 1, 1, 3])
      played.share = 0.5
      yield* TestClock.adjust(2_000)
      assert.isUndefined(transport.listeners[0]?.pausedFor)
      assert.deepStrictEqual(yield* shown, [0, 1, 0, 3])
    })
  )

  it.effect("each listener has its own series, by the address that it is bound to", () =>
    Effect.gen(function* () {
      const { scrape, transport, upstreams } = yield* trafficRig.make({
        listeners: [
          { address: { address: "0.0.0.0", port: 0 }, app: undefined },
          { address: { address: "::", port: 5_432 }, app: "pg" }
        ]
      })
      upstreams.put(backend({ id: "web1", app: "web", region: "sa" }))
      upstreams.put(backend({ id: "pg1", app: "pg", region: "eu" }))
      transport.accept("203.0.113.1", 1)
      yield* settled
      transport.dial().succeed()
      yield* settled
      const page = yield* scrape
      assert.strictEqual(page.value("edgeproxy_connections_total", { listener: "0.0.0.0:40001", app: "" }), 0)
      assert.strictEqual(page.value("edgeproxy_connections_total", { listener: "[::]:5432", app: "pg" }), 1)
      assert.strictEqual(
        page.value("edgeproxy_backend_connections_total", { backend: "pg1", app: "pg", region: "eu" }),
        1
      )
      assert.notInclude(JSON.stringify([...page.series.keys()]), "203.0.113")
    })
  )

  it.effect("says that the process is being ended", () =>
    Effect.gen(function* () {
      const rig = yield* trafficRig.withBackends(1)
      assert.strictEqual((yield* rig.scrape).value("edgeproxy_draining"), 0)
      yield* rig.stop
      assert.strictEqual((yield* rig.scrape).value("edgeproxy_draining"), 1)
    })
  )
})

describe("a reading with many open connections", () => {
  it.effect("lets others have their turns, and counts what ends meanwhile once", () =>
    Effect.gen(function* () {
      const count = 20_000
      const rig = yield* trafficRig.withBackends(1, { maxConnections: count })
      const { connections, scrape, transport } = rig
      for (let index = 0; index < count; index++) transport.accept()
      yield* settled
      for (const dial of transport.dials) dial.succeed()
      yield* settled
      for (const { id } of connections.all()) transport.set(id, { bytesIn: 3 })
      let turns = 0
      const others = Effect.sync(() => {
        turns++
        // Those looked at last and those still to come, by turns.
        const open = Array.from(connections.all(), ({ id }) => id)
        for (const id of [open[(turns * 150) % open.length], open.at(-1)]) {
          if (id !== undefined) transport.end(id, { bytesIn: 5 })
        }
      })
      yield* Effect.forkScoped(others.pipe(Effect.andThen(Effect.yieldNow), Effect.forever))
      // One millisecond for each look at the clock, and a look for each 64 connections: some 100 slices of 3 ms.
      const page = yield* ticking(1_000)(scrape)
      assert.isAtLeast(turns, 40)
      const ended = page.sum("edgeproxy_terminations_total")
      assert.isAtLeast(ended, 40)
      assert.strictEqual(page.value(SENT, listener), 3 * count + 2 * ended)
    })
  )
})

const step = Arbitrary.all({
  what: oneOf([
    "accept",
    "accept",
    "succeed",
    "succeed",
    "succeed",
    "fail",
    "carry",
    "carry",
    "end",
    "unbridge",
    "drop",
    "put",
    "scrape"
  ]),
  which: Arbitrary.schema(between(0, 7)),
  amount: Arbitrary.schema(between(0, 1_000_000))
})

interface Played {
  readonly id: number
  state: "dialling" | "open"
  bytesIn: number
  bytesOut: number
}

describe("M1, M2: whatever happens between two scrapes", () => {
  it.effect.prop(
    "no counter falls, each byte and each connection is counted once",
    [Arbitrary.array(step)],
    ([steps]) =>
      Effect.gen(function* () {
        const rig = yield* trafficRig.withBackends(3, { connection: { attempts: 2 } })
        const { scrape, transport, upstreams } = rig
        const open: Array<Played> = []
        let accepted = 0
        let sent = 0
        let received = 0
        let before = yield* scrape
        const recordsOf = (): ReadonlyMap<string, number> =>
          new Map(Array.from(upstreams.all(), ({ backend, seq }) => [backend.id, seq]))
        let records = recordsOf()

        // The transport plays the rest: a connection whose dials have all failed has ended by itself.
        const stillOpen = (): ReadonlyArray<Played> => open.filter(({ id }) => rig.connections.get(id) !== undefined)
        const dialOf = (id: number): Dial | undefined => transport.dials.findLast((dial) => dial.id === id)

        const look = Effect.gen(function* () {
          const after = yield* scrape
          const now = recordsOf()
          const replaced = [...now].filter(([id, seq]) => records.has(id) && records.get(id) !== seq).map(([id]) => id)
          const bad = fallen(before, after).filter((text) => !replaced.some((id) => text.includes(`backend="${id}"`)))
          assert.deepStrictEqual(bad, [])
          assert.strictEqual(after.sum("edgeproxy_connections_total"), accepted)
          assert.strictEqual(after.sum("edgeproxy_connections_active"), stillOpen().length)
          assert.strictEqual(after.sum("edgeproxy_terminations_total"), accepted - stillOpen().length)
          assert.strictEqual(after.sum("edgeproxy_connection_seconds_count"), accepted - stillOpen().length)
          assert.strictEqual(after.sum(SENT), sent)
          assert.strictEqual(after.sum(RECEIVED), received)
          for (const { sample } of after.series.values()) assert.isTrue(sample.value >= 0, sample.name)
          before = after
          records = now
        })

        for (const { amount, what, which } of steps) {
          const alive = stillOpen()
          const one = alive[which % Math.max(1, alive.length)]
          if (what === "accept") {
            open.push({ id: transport.accept(`203.0.113.${which}`), state: "dialling", bytesIn: 0, bytesOut: 0 })
            accepted++
          } else if (what === "put") {
            const id = `b${1 + (which % 3)}`
            upstreams.put(backend({ id, address: `10.0.0.${id.slice(1)}`, region: "sa" }))
          } else if (what === "drop") upstreams.drop(`b${1 + (which % 3)}`)
          else if (what === "scrape") yield* look
          else if (one !== undefined) {
            if (what === "succeed" && one.state === "dialling") {
              dialOf(one.id)?.succeed(amount)
              one.state = "open"
            } else if (what === "fail" && one.state === "dialling") dialOf(one.id)?.fail("Refused")
            else if (what === "unbridge" && one.state === "open" && one.bytesIn + one.bytesOut === 0) {
              transport.unbridge(one.id)
              one.state = "dialling"
            } else if ((what === "carry" || what === "end") && one.state === "open") {
              one.bytesIn += amount
              one.bytesOut += 2 * which
              sent += amount
              received += 2 * which
              transport.set(one.id, one)
            }
            if (what === "end") transport.end(one.id, { by: which % 2 === 0 ? "client" : "backend" })
          }
          yield* settled
        }
        yield* look
      }),
    { arbitrary: { runs: 60, size: 200 }, timeout: 60_000 }
  )
})

describe("flows", () => {
  it.effect("are counted by the client's country and the region of the backend that took it", () =>
    Effect.gen(function* () {
      const rig = yield* trafficRig.withBackends(2)
      yield* bridged(rig, trafficRig.brazilian)
      yield* bridged(rig)
      yield* bridged(rig)
      // One that is never bridged is no flow.
      rig.transport.accept()
      yield* settled
      const flows = Array.from(rig.counters.flows, ([country, regions]) => `${country ?? "?"} ${[...regions].join()}`)
      assert.deepStrictEqual(flows, ["BR sa,1", "? sa,2"])
    })
  )
})
