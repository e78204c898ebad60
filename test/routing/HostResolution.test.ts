import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { TestClock } from "effect/testing"
import { Supervisor } from "../../src/actor/Supervisor.ts"
import type { Backend } from "../../src/domain/Backend.ts"
import { Collectors } from "../../src/observe/Collectors.ts"
import { Conditions } from "../../src/observe/Conditions.ts"
import { HostResolution } from "../../src/routing/HostResolution.ts"
import { type HostAnswer, HostError, HostResolver } from "../../src/routing/HostResolver.ts"
import { RoutingTable } from "../../src/routing/RoutingTable.ts"
import { TableSnapshotStore } from "../../src/routing/TableSnapshotStore.ts"
import { Upstreams } from "../../src/routing/Upstreams.ts"
import { row } from "../support/fixtures.ts"
import * as ScriptedSource from "../support/ScriptedSource.ts"
import { settled } from "../support/settled.ts"

const named = (fields: Parameters<typeof row>[0] = {}) => row({ id: "db", wg_ip: "db.internal", ...fields })

const found = (...addresses: ReadonlyArray<string>): HostAnswer => ({
  addresses: addresses.map((address) => ({ address })),
  ttlSecs: 30,
  unanswered: []
})

const failure = (reason: HostError["reason"] = "timeout") =>
  new HostError({ reason, host: "db.internal", detail: "told to" })

/** A table whose names the test answers for. */
const rigged = Effect.fnUntraced(function* (
  store: Layer.Layer<TableSnapshotStore> = TableSnapshotStore.layerMemory(),
  shared = false
) {
  const source = yield* ScriptedSource.make({ shared })
  const script = {
    answer: (): HostAnswer | HostError => found("10.0.0.1"),
    asked: 0,
    waiting: undefined as Deferred.Deferred<void> | undefined
  }
  const refuses = (address: string): string | undefined => (address.startsWith("169.") ? "not there" : undefined)
  const resolver = Layer.succeed(HostResolver, {
    resolve: () =>
      Effect.suspend(() => {
        script.asked++
        const answer = script.answer()
        const told = answer instanceof HostError ? Effect.fail(answer) : Effect.succeed(answer)
        return script.waiting === undefined ? told : Effect.andThen(Deferred.await(script.waiting), told)
      })
  })
  const services = yield* Layer.build(
    HostResolution.layer({ refuses }).pipe(
      Layer.provideMerge(
        RoutingTable.layer({
          maxShrink: 1,
          holdMs: 60_000,
          refuses: () => "a literal may not be here",
          refusesFound: ({ address, port }: Backend) => (port === 8_081 ? "this proxy itself" : refuses(address))
        })
      ),
      Layer.provideMerge(Layer.mergeAll(source.layer, store, resolver, Upstreams.layer({ spillAt: "hard" }))),
      Layer.provideMerge(Layer.mergeAll(Supervisor.layer, Collectors.layer, Conditions.layer))
    )
  )
  yield* settled
  return yield* Effect.gen(function* () {
    const upstreams = yield* Upstreams
    return {
      source,
      script,
      table: yield* RoutingTable,
      upstreams,
      store: yield* TableSnapshotStore,
      hosts: yield* HostResolution,
      conditions: yield* Conditions,
      ids: () =>
        Array.from(upstreams.all())
          .flatMap(({ backend, listed }) => (listed ? [backend.id] : []))
          .sort()
    }
  }).pipe(Effect.provide(services))
})

const minutes = (count: number) => TestClock.adjust(count * 60_000).pipe(Effect.andThen(settled))

describe("R9: a row that names a host", () => {
  it.effect("takes traffic at its addresses, and follows them", () =>
    Effect.gen(function* () {
      const { ids, script, source, upstreams } = yield* rigged()
      yield* source.rows(named(), row({ id: "plain", wg_ip: "10.9.9.9" }))
      yield* settled
      assert.deepStrictEqual(ids(), ["db#10.0.0.1", "plain"])
      script.answer = () => found("10.0.0.2", "fd00::1")
      // A connection that runs on the old address.
      const old = upstreams.get("db#10.0.0.1")
      if (old === undefined) return assert.fail()
      old.live = 1
      yield* minutes(1)
      assert.deepStrictEqual(ids(), ["db#10.0.0.2", "db#fd00::1", "plain"])
      assert.include(Array.from(upstreams.all()), old)
      assert.isFalse(old.listed)
      assert.sameMembers(
        Array.from(upstreams.named("db"), ({ backend }) => backend.address),
        ["10.0.0.2", "fd00::1"]
      )
      yield* source.rows(row({ id: "plain", wg_ip: "10.9.9.9" }))
      assert.deepStrictEqual(ids(), ["plain"])
    })
  )

  it.effect("keeps its last addresses when looking up fails, and says so", () =>
    Effect.gen(function* () {
      const { conditions, hosts, ids, script, source } = yield* rigged()
      yield* source.rows(named())
      yield* settled
      script.answer = () => failure()
      yield* minutes(1)
      assert.deepStrictEqual(ids(), ["db#10.0.0.1"])
      assert.deepStrictEqual([...hosts.failing().keys()], ["db.internal"])
      assert.deepStrictEqual(conditions.present(), ["hosts-not-found"])
      script.answer = () => failure("not-found")
      yield* minutes(5)
      assert.deepStrictEqual(ids(), ["db#10.0.0.1"])
      script.answer = () => found("10.0.0.9")
      yield* minutes(2)
      assert.deepStrictEqual(ids(), ["db#10.0.0.9"])
      assert.deepStrictEqual(conditions.present(), [])
    })
  )

  it.effect("goes nowhere that a backend may not be, whoever answers for the name", () =>
    Effect.gen(function* () {
      const { hosts, ids, script, source } = yield* rigged()
      script.answer = () => found("169.254.169.254")
      yield* source.rows(named(), named({ id: "own", port: 8_081 }))
      yield* settled
      assert.deepStrictEqual(ids(), [])
      assert.strictEqual(hosts.failing().get("db.internal")?.reason, "unusable")
      for (const nobodys of ["0.0.0.0", "::", "255.255.255.255", "224.0.0.1", "ff02::1", "fe80::1", "nonsense"]) {
        script.answer = () => found(nobodys)
        yield* minutes(2)
        assert.deepStrictEqual(ids(), [], nobodys)
      }
      script.answer = () => found("10.0.0.1", "169.254.169.254")
      yield* minutes(2)
      assert.deepStrictEqual(ids(), ["db#10.0.0.1"])
      // Rebound once it was trusted.
      script.answer = () => found("169.254.169.254")
      yield* minutes(2)
      assert.deepStrictEqual(ids(), ["db#10.0.0.1"])
    })
  )

  it.effect("of a shared source is judged by where it leads, a literal by where it is", () =>
    Effect.gen(function* () {
      const { ids, source, table } = yield* rigged(TableSnapshotStore.layerMemory(), true)
      yield* source.rows(named(), row({ id: "literal", wg_ip: "10.0.0.1" }))
      yield* settled
      assert.deepStrictEqual(ids(), ["db#10.0.0.1"])
      assert.deepStrictEqual(table.status().quarantined, 1)
    })
  )

  it.effect("an answer for one family only takes nothing away of the other, and leaves nothing old of its own", () =>
    Effect.gen(function* () {
      const { ids, script, source } = yield* rigged()
      script.answer = () => found("10.0.0.1", "fd00::1")
      yield* source.rows(named())
      yield* settled
      // For as long as it takes: a network that loses questions for AAAA may do so for ever.
      for (let last = 2; last < 60; last++) {
        script.answer = () => ({ ...found(`10.0.0.${last}`), unanswered: [{ family: 6 }] })
        yield* minutes(1)
        assert.deepStrictEqual(ids(), [`db#10.0.0.${last}`, "db#fd00::1"])
      }
    })
  )

  it.effect("an answer for some targets of a service keeps what may be the others', each once", () =>
    Effect.gen(function* () {
      const { ids, script, source } = yield* rigged()
      const targets = (...all: ReadonlyArray<readonly [address: string, port: number, share: number]>): HostAnswer => ({
        ...found(),
        addresses: all.map(([address, port, share]) => ({ address, port, share }))
      })
      script.answer = () => targets(["10.0.0.1", 1, 1.5], ["10.0.0.2", 1, 0.5], ["10.0.0.3", 2, 1])
      yield* source.rows(named({ wg_ip: "_db._tcp.internal" }))
      yield* settled
      script.answer = () => ({ ...targets(["10.0.0.1", 1, 1]), unanswered: [{ port: 1 }] })
      yield* minutes(1)
      assert.deepStrictEqual(ids(), ["db#10.0.0.1:1", "db#10.0.0.2:1"])
    })
  )

  it.effect("is asked for when its TTL is over, not every moment, and once for all rows that name it", () =>
    Effect.gen(function* () {
      const { script, source } = yield* rigged()
      yield* source.rows(named(), named({ id: "db2" }), named({ id: "db3" }))
      yield* settled
      assert.strictEqual(script.asked, 1)
      yield* TestClock.adjust("28 seconds").pipe(Effect.andThen(settled))
      assert.strictEqual(script.asked, 1)
      yield* TestClock.adjust("4 seconds").pipe(Effect.andThen(settled))
      assert.strictEqual(script.asked, 2)
      script.answer = () => ({ ...found("10.0.0.1"), ttlSecs: 0 })
      yield* minutes(1)
      script.asked = 0
      yield* minutes(1)
      assert.isAtMost(script.asked, 13)
      script.answer = () => ({ ...found("10.0.0.1"), ttlSecs: 1_000_000 })
      yield* minutes(1)
      script.asked = 0
      yield* minutes(11)
      assert.isAtLeast(script.asked, 2)
    })
  )

  it.effect("many names are asked for a few at a time", () =>
    Effect.gen(function* () {
      const { ids, script, source } = yield* rigged()
      const gate = (script.waiting = yield* Deferred.make<void>())
      const rows = Array.from({ length: 100 }, (_, index) => named({ id: `b${index}`, wg_ip: `h${index}.internal` }))
      yield* source.rows(...rows)
      yield* settled
      assert.strictEqual(script.asked, 16)
      yield* Deferred.succeed(gate, undefined)
      yield* settled
      yield* settled
      assert.lengthOf(ids(), 100)
    })
  )

  it.effect("changes of the row are in force at all its addresses", () =>
    Effect.gen(function* () {
      const { script, source, upstreams } = yield* rigged()
      script.answer = () => found("10.0.0.1", "10.0.0.2")
      yield* source.rows(named())
      yield* settled
      yield* source.rows(named({ healthy: 0, weight: 7 }))
      const members = Array.from(upstreams.named("db"), ({ backend }) => backend)
      assert.lengthOf(members, 2)
      for (const member of members) assert.deepInclude(member, { healthy: false, weight: 7, hardLimit: 75 })
      yield* source.rows(named({ wg_ip: "10.5.5.5" }))
      assert.deepStrictEqual(
        Array.from(upstreams.all(), ({ backend }) => backend.id),
        ["db"]
      )
      yield* source.rows(named())
      yield* settled
      assert.lengthOf(Array.from(upstreams.named("db")), 2)
    })
  )

  it.effect("is served from what was stored when nobody answers after a restart", () =>
    Effect.gen(function* () {
      const first = yield* rigged()
      first.script.answer = () => found("10.0.0.1", "fd00::1")
      yield* first.source.rows(named())
      yield* settled
      yield* minutes(1)
      const stored = yield* first.store.load
      const second = yield* rigged(TableSnapshotStore.layerMemory(stored))
      second.script.answer = () => failure()
      yield* second.source.lost("gone")
      yield* settled
      assert.deepStrictEqual(second.ids(), ["db#10.0.0.1", "db#fd00::1"])
      yield* second.source.rows(named())
      assert.deepStrictEqual(second.ids(), ["db#10.0.0.1", "db#fd00::1"])
    })
  )
})
