import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/testing/TestClock"
import type { RegistryError } from "../../src/backends/Registry.ts"
import { isInRotation } from "../../src/domain/Backend.ts"
import { makePop, makeWorld, TTL_MS, type World } from "../support/registryRig.ts"
import { settled } from "../support/settled.ts"

const registration = (id: string, fields: Readonly<Record<string, unknown>> = {}) => ({
  id,
  app: "shop",
  region: "sa",
  wg_ip: "10.0.0.7",
  port: 8080,
  weight: 2,
  soft_limit: 100,
  hard_limit: 150,
  ...fields
})

/** What one database says of a backend, in another. */
const copy = (from: World, to: World, id: string): void => {
  for (const table of ["backends", "edgeproxy_backend_state"]) {
    const found = from.db.prepare(`SELECT * FROM ${table} WHERE id = ?`).get(id) ?? {}
    const columns = Object.keys(found)
    to.db
      .prepare(`INSERT OR REPLACE INTO ${table} (${columns.join(", ")}) VALUES (${columns.map(() => "?").join(", ")})`)
      .run(...Object.values(found))
  }
}

type Pop = Effect.Success<ReturnType<typeof makePop>>

const inRotation = ({ upstreams }: Pop, id: string): boolean => {
  const backend = upstreams.get(id)?.backend
  return backend !== undefined && isInRotation(backend)
}

const reasonOf = <A>(effect: Effect.Effect<A, RegistryError>) => Effect.map(Effect.flip(effect), ({ reason }) => reason)

const pass = (ms: number) => Effect.andThen(TestClock.adjust(ms), settled)

/** A world with one POP that has seen its empty table. */
const alone = Effect.gen(function* () {
  const world = makeWorld()
  const pop = yield* makePop(world, "gru")
  yield* pop.show
  return { world, pop, registry: pop.registry }
})

describe("D1, D2: a backend that registers", () => {
  it.effect("is durable and in rotation when that is said, before the source shows it", () =>
    Effect.gen(function* () {
      const { pop, registry, world } = yield* alone
      assert.strictEqual(yield* registry.register(registration("a")), "created")
      assert.deepStrictEqual([world.rows().length, world.states().length], [1, 1])
      assert.isTrue(inRotation(pop, "a"))
      assert.strictEqual(registry.registered(), 1)
      assert.deepInclude(registry.get("a"), { source: "api", owner: "gru", state: "active", weight: 2 })
      yield* pop.show
      assert.strictEqual(registry.registered(), 1)
      assert.strictEqual(yield* registry.register(registration("a", { weight: 3 })), "known")
      assert.strictEqual(registry.get("a")?.weight, 3)
      assert.isTrue(pop.sound())
    })
  )

  it.effect("stays although a read that began before shows a table without it", () =>
    Effect.gen(function* () {
      const { pop, registry, world } = yield* alone
      const before = world.rows()
      yield* registry.register(registration("a"))
      yield* pop.source.tables(before, [])
      assert.isTrue(inRotation(pop, "a"))
      yield* pop.show
      // The source has shown it: from now on it is the source's to take away.
      yield* pop.source.tables([], [])
      assert.isFalse(inRotation(pop, "a"))
    })
  )

  it.effect("is not there when it could not be made durable", () =>
    Effect.gen(function* () {
      const { pop, registry, world } = yield* alone
      world.failing = "unavailable"
      assert.isFalse(registry.storeFails())
      assert.strictEqual(yield* reasonOf(registry.register(registration("a"))), "not-durable")
      yield* pass(10_000)
      assert.isTrue(registry.storeFails(), "until something could be written")
      assert.isUndefined(registry.get("a"))
      assert.isFalse(inRotation(pop, "a"))
      world.failing = undefined
      assert.strictEqual(yield* registry.register(registration("a")), "created")
      assert.isFalse(registry.storeFails())
    })
  )

  it.effect("again and again, as it is, is only heard of", () =>
    Effect.gen(function* () {
      const { pop, registry, world } = yield* alone
      yield* registry.register(registration("a"))
      yield* pop.show
      const writes = world.writes.length
      for (let i = 0; i < 100; i++) assert.strictEqual(yield* registry.register(registration("a")), "known")
      assert.strictEqual(world.writes.length, writes)
    })
  )

  it.effect("of which one has to wait go into the store together", () =>
    Effect.gen(function* () {
      const { registry, world } = yield* alone
      const ids = Array.from({ length: 500 }, (_, index) => `b${index}`)
      yield* Effect.forEach(ids, (id) => registry.register(registration(id)), { concurrency: "unbounded" })
      assert.strictEqual(world.rows().length, 500)
      assert.isBelow(world.writes.length, 20)
    })
  )

  it.effect("beyond the number that may is not taken; those that are known go on", () =>
    Effect.gen(function* () {
      const world = makeWorld()
      const { registry, show } = yield* makePop(world, "gru", TTL_MS, 2)
      yield* show
      yield* registry.register(registration("a"))
      yield* registry.register(registration("b"))
      assert.strictEqual(yield* reasonOf(registry.register(registration("c"))), "busy")
      assert.strictEqual(yield* registry.register(registration("a", { port: 81 })), "known")
      yield* registry.deregister("b")
      assert.strictEqual(yield* registry.register(registration("c")), "created")
    })
  )

  it.effect("is told what is wrong with what it says", () =>
    Effect.gen(function* () {
      const { registry, world } = yield* alone
      assert.strictEqual(yield* reasonOf(registry.register(registration("a", { port: 0 }))), "invalid")
      assert.strictEqual(yield* reasonOf(registry.register(registration("a", { region: "mars" }))), "invalid")
      assert.strictEqual(yield* reasonOf(registry.register(registration("a", { deleted: 1 }))), "invalid")
      assert.strictEqual(yield* reasonOf(registry.register(registration("a", { wg_ip: "fe80::1" }))), "invalid")
      for (const wg_ip of ["169.254.169.254", "127.0.0.1", "8.8.8.8", "::ffff:169.254.169.254"]) {
        assert.strictEqual(yield* reasonOf(registry.register(registration("a", { wg_ip }))), "address")
      }
      assert.deepStrictEqual([world.rows(), world.writes], [[], []])
    })
  )

  it.effect("before there is a table, or with only a stored one, has to come again", () =>
    Effect.gen(function* () {
      const pop = yield* makePop(makeWorld(), "gru")
      assert.strictEqual(yield* reasonOf(pop.registry.register(registration("a"))), "busy")
      for (const asked of [
        pop.registry.heartbeat("a"),
        pop.registry.deregister("a"),
        pop.registry.setDraining("a", true)
      ]) {
        assert.strictEqual(yield* reasonOf(asked), "busy")
      }
    })
  )

  it.effect("under the id of a row that was written by hand is refused, and the row left alone", () =>
    Effect.gen(function* () {
      const { pop, registry, world } = yield* alone
      world.db.exec("INSERT INTO backends (id, region, wg_ip, port) VALUES ('hand', 'eu', '10.0.0.1', 80)")
      world.db.exec("INSERT INTO backends (id, region, wg_ip, port) VALUES ('bad', 'eu', '10.0.0.1', 0)")
      yield* pop.show
      const before = world.rows()
      for (const id of ["hand", "bad"])
        assert.strictEqual(yield* reasonOf(registry.register(registration(id))), "foreign")
      assert.strictEqual(yield* reasonOf(registry.deregister("hand")), "foreign")
      assert.strictEqual(yield* reasonOf(registry.heartbeat("hand")), "unknown")
      assert.deepStrictEqual(world.rows(), before)
      yield* pass(100 * TTL_MS)
      assert.isTrue(inRotation(pop, "hand"))
      assert.deepInclude(registry.get("hand"), { source: "table", owner: undefined })
    })
  )
})

describe("D2: a backend that falls silent", () => {
  it.effect("leaves the rotation after the TTL, the table after ten, and comes back with a heartbeat", () =>
    Effect.gen(function* () {
      const { pop, registry, world } = yield* alone
      yield* registry.register(registration("a"))
      yield* registry.register(registration("b"))
      yield* pop.show
      yield* pass(TTL_MS - 2_000)
      yield* registry.heartbeat("b")
      yield* pass(5_000)
      assert.deepStrictEqual([inRotation(pop, "a"), inRotation(pop, "b")], [false, true])
      assert.strictEqual(registry.get("a")?.state, "expired")
      assert.deepInclude(
        world.states().find(({ id }) => id === "a"),
        { expired: 1 }
      )
      // What an operator says of its health is not touched.
      assert.deepInclude(
        world.rows().find(({ id }) => id === "a"),
        { healthy: 1 }
      )
      yield* pop.show
      yield* registry.heartbeat("a")
      assert.isTrue(inRotation(pop, "a"))
      assert.deepInclude(
        world.states().find(({ id }) => id === "a"),
        { expired: 0 }
      )
      yield* pop.show
      assert.isTrue(inRotation(pop, "a"))
      yield* pass(10 * TTL_MS + 2_000)
      assert.deepStrictEqual([world.rows(), world.states()], [[], []])
      assert.isUndefined(registry.get("a"))
      yield* pop.show
      assert.strictEqual(yield* reasonOf(registry.heartbeat("a")), "unknown")
    })
  )

  it.effect("has a full TTL after a restart, and is then treated as before", () =>
    Effect.gen(function* () {
      const { registry, world } = yield* alone
      yield* registry.register(registration("a"))
      yield* pass(TTL_MS - 1_000)
      const restarted = yield* makePop(world, "gru")
      yield* restarted.show
      yield* pass(TTL_MS - 2_000)
      assert.isTrue(inRotation(restarted, "a"))
      yield* pass(5_000)
      assert.isFalse(inRotation(restarted, "a"))
      const again = yield* makePop(world, "gru")
      yield* again.show
      assert.isFalse(inRotation(again, "a"))
      yield* again.registry.heartbeat("a")
      assert.isTrue(inRotation(again, "a"))
    })
  )

  it.effect("is out of rotation although that can't be written, and it is written later", () =>
    Effect.gen(function* () {
      const { pop, registry, world } = yield* alone
      yield* registry.register(registration("a"))
      yield* pop.show
      world.failing = "unavailable"
      yield* pass(TTL_MS + 2_000)
      assert.isFalse(inRotation(pop, "a"))
      assert.deepInclude(world.states()[0], { expired: 0 })
      world.failing = undefined
      yield* pass(2_000)
      assert.deepInclude(world.states()[0], { expired: 1 })
    })
  )
})

describe("heartbeats", () => {
  it.effect("of 1,000 backends, one a second each, cost a few writes in an hour", () =>
    Effect.gen(function* () {
      const { pop, registry, world } = yield* alone
      const ids = Array.from({ length: 1_000 }, (_, index) => `b${index}`)
      yield* Effect.forEach(ids, (id) => registry.register(registration(id)), { concurrency: "unbounded" })
      yield* pop.show
      world.writes.length = 0
      // Every 30 s instead of every second: between them nothing is asked of the store anyway.
      for (let round = 0; round < 120; round++) {
        for (const id of ids) yield* registry.heartbeat(id)
        yield* pass(30_000)
      }
      const rows = world.writes.flat().length
      assert.isAtLeast(rows, 1_000, "the other POPs have to see that they live")
      assert.isAtMost(rows, 21 * 1_000)
      assert.isAtMost(world.writes.length, 21 * 4)
      assert.isTrue(world.states().every(({ expired }) => expired === 0))
    })
  )

  it.effect("at another POP move the ownership there", () =>
    Effect.gen(function* () {
      const world = makeWorld()
      const gru = yield* makePop(world, "gru")
      const fra = yield* makePop(world, "fra")
      const showAll = Effect.andThen(gru.show, fra.show)
      yield* showAll
      yield* gru.registry.register(registration("a"))
      yield* showAll
      assert.deepInclude(fra.registry.get("a"), { owner: "gru" })
      yield* pass(1_000)
      yield* fra.registry.heartbeat("a")
      yield* settled
      assert.deepInclude(world.states()[0], { owner: "fra" })
      yield* showAll
      yield* pass(40_000)
      // By its last heartbeat at gru it would have expired; gru does not decide on it any more.
      assert.deepStrictEqual([inRotation(gru, "a"), inRotation(fra, "a")], [true, true])
      yield* pass(TTL_MS)
      yield* showAll
      assert.deepStrictEqual([inRotation(gru, "a"), inRotation(fra, "a")], [false, false])
      assert.deepInclude(world.states()[0], { owner: "fra", expired: 1 })
    })
  )

  it.effect("of all POPs that stop: what a POP that is gone has left is taken out, and away", () =>
    Effect.gen(function* () {
      const world = makeWorld()
      const fra = yield* makePop(world, "fra")
      yield* Effect.scoped(
        Effect.gen(function* () {
          const gru = yield* makePop(world, "gru")
          yield* gru.show
          yield* gru.registry.register(registration("a"))
        })
      )
      yield* fra.show
      yield* pass(14 * TTL_MS)
      assert.isTrue(inRotation(fra, "a"))
      yield* pass(TTL_MS + 5_000)
      assert.isFalse(inRotation(fra, "a"))
      assert.deepInclude(world.states()[0], { owner: "fra", expired: 1 })
      yield* fra.show
      // It may live beyond a partition: nobody else removes it for a day.
      yield* pass(100 * TTL_MS)
      assert.strictEqual(world.rows().length, 1)
      yield* pass(24 * 3_600_000)
      assert.deepStrictEqual([world.rows(), world.states()], [[], []])
    })
  )

  it.effect("beyond a partition: each side takes out what it does not hear of, and nothing is lost", () =>
    Effect.gen(function* () {
      const [left, right] = [makeWorld(), makeWorld()]
      const gru = yield* makePop(left, "gru")
      const fra = yield* makePop(right, "fra")
      yield* Effect.andThen(gru.show, fra.show)
      yield* gru.registry.register(registration("a"))
      yield* fra.registry.register(registration("b"))
      copy(left, right, "a")
      copy(right, left, "b")
      yield* Effect.andThen(gru.show, fra.show)
      for (let minute = 0; minute < 60; minute++) {
        yield* gru.registry.heartbeat("a")
        yield* fra.registry.heartbeat("b")
        yield* pass(TTL_MS / 2)
      }
      assert.deepStrictEqual([inRotation(gru, "a"), inRotation(gru, "b")], [true, false])
      assert.deepStrictEqual([inRotation(fra, "a"), inRotation(fra, "b")], [false, true])
      assert.deepStrictEqual([left.rows().length, right.rows().length], [2, 2])
      // They meet again, and the other's word of each has won.
      copy(right, left, "a")
      copy(left, right, "b")
      yield* Effect.andThen(gru.show, fra.show)
      yield* gru.registry.heartbeat("a")
      yield* fra.registry.heartbeat("b")
      yield* settled
      assert.deepStrictEqual([inRotation(gru, "a"), inRotation(fra, "b")], [true, true])
      assert.deepInclude(
        left.states().find(({ id }) => id === "a"),
        { owner: "gru", expired: 0 }
      )
    })
  )

  it.effect("at one POP and then at another move the ownership at once, however short the TTL", () =>
    Effect.gen(function* () {
      const world = makeWorld()
      const [gru, fra] = [yield* makePop(world, "gru", 2_000), yield* makePop(world, "fra", 2_000)]
      const showAll = Effect.andThen(gru.show, fra.show)
      yield* showAll
      yield* gru.registry.register(registration("a"))
      yield* showAll
      for (let second = 0; second < 60; second++) {
        yield* pass(500)
        yield* fra.registry.heartbeat("a")
        yield* settled
        yield* showAll
        assert.deepStrictEqual([inRotation(gru, "a"), inRotation(fra, "a")], [true, true])
      }
      assert.deepInclude(world.states()[0], { owner: "fra", expired: 0 })
    })
  )

  it.effect("to and fro between two POPs cost few writes and no place in the rotation", () =>
    Effect.gen(function* () {
      const world = makeWorld()
      const pops = [yield* makePop(world, "gru"), yield* makePop(world, "fra")] as const
      const showAll = Effect.forEach(pops, ({ show }) => show)
      yield* showAll
      yield* pops[0].registry.register(registration("a"))
      yield* showAll
      world.writes.length = 0
      for (let round = 0; round < 120; round++) {
        yield* pass(TTL_MS / 6)
        yield* pops[round % 2 === 0 ? 1 : 0].registry.heartbeat("a")
        yield* settled
        yield* showAll
        assert.isTrue(inRotation(pops[0], "a") && inRotation(pops[1], "a"))
      }
      // 20 TTLs: each POP claims it twice in one at the most.
      assert.isAtMost(world.writes.length, 80)
    })
  )

  it.effect("while an update is held, or the source lost, expire nobody", () =>
    Effect.gen(function* () {
      const { pop, registry, world } = yield* alone
      for (const id of ["a", "b", "c", "d", "e"]) yield* registry.register(registration(id))
      yield* pop.show
      yield* pop.source.tables([], [])
      assert.isDefined(pop.table.status().held)
      yield* pass(TTL_MS * 0.9)
      yield* pop.source.lost("gone")
      yield* pass(30 * TTL_MS)
      assert.isTrue(inRotation(pop, "a"))
      assert.strictEqual(world.states().filter(({ expired }) => expired === 1).length, 0)
      yield* pop.show
      yield* pass(TTL_MS + 5_000)
      assert.isFalse(inRotation(pop, "a"))
    })
  )

  it.effect("that can't be seen, since the source is lost, make nobody an orphan", () =>
    Effect.gen(function* () {
      const world = makeWorld()
      const gru = yield* makePop(world, "gru")
      const fra = yield* makePop(world, "fra")
      yield* Effect.andThen(gru.show, fra.show)
      yield* gru.registry.register(registration("a"))
      yield* fra.show
      yield* fra.source.lost("gone")
      yield* pass(100 * TTL_MS)
      assert.isTrue(inRotation(fra, "a"))
    })
  )
})

describe("D1: a backend that deregisters", () => {
  it.effect("is gone, durably, and stays so although an old read shows it", () =>
    Effect.gen(function* () {
      const { pop, registry, world } = yield* alone
      yield* registry.register(registration("a"))
      yield* pop.show
      const [rows, states] = [world.rows(), world.states()]
      yield* registry.deregister("a")
      assert.deepStrictEqual([world.rows(), world.states()], [[], []])
      assert.isUndefined(registry.get("a"))
      yield* pop.source.tables(rows, states)
      assert.isUndefined(registry.get("a"))
      assert.strictEqual(yield* reasonOf(registry.deregister("a")), "unknown")
      yield* pop.show
      assert.strictEqual(registry.registered(), 0)
      assert.strictEqual(yield* registry.register(registration("a")), "created")
    })
  )
})

describe("H6: a backend that drains", () => {
  it.effect(
    "leaves the rotation and comes back as it was, hand-written or registered, also after registering again",
    () =>
      Effect.gen(function* () {
        const { pop, registry, world } = yield* alone
        world.db.exec("INSERT INTO backends (id, region, wg_ip, port, weight) VALUES ('hand', 'eu', '10.0.0.1', 80, 7)")
        yield* pop.show
        yield* registry.register(registration("a"))
        for (const id of ["hand", "a"]) {
          yield* registry.setDraining(id, true)
          assert.strictEqual(registry.get(id)?.state, "draining")
          assert.isFalse(inRotation(pop, id))
        }
        yield* pop.show
        yield* registry.register(registration("a", { port: 81 }))
        yield* pop.show
        assert.deepInclude(registry.get("a"), { state: "draining", port: 81 })
        const restarted = yield* makePop(world, "gru")
        yield* restarted.show
        assert.isFalse(inRotation(restarted, "hand"))
        for (const id of ["hand", "a"]) yield* registry.setDraining(id, false)
        yield* pop.show
        assert.deepStrictEqual([inRotation(pop, "hand"), inRotation(pop, "a")], [true, true])
        assert.strictEqual(registry.get("hand")?.weight, 7)
        assert.strictEqual(yield* reasonOf(registry.setDraining("nobody", true)), "unknown")
      })
  )
})

describe("what was begun", () => {
  it.effect("is done although whoever asked has gone away", () =>
    Effect.gen(function* () {
      const { pop, registry, world } = yield* alone
      const asked = yield* Effect.forkChild(registry.register(registration("a")), { startImmediately: true })
      yield* Effect.forkChild(Fiber.interrupt(asked), { startImmediately: true })
      yield* settled
      assert.isTrue(Exit.isExit(yield* Fiber.await(asked)))
      assert.strictEqual(inRotation(pop, "a"), world.rows().length === 1)
      assert.strictEqual(yield* registry.register(registration("a", { port: 81 })), "known")
      yield* registry.heartbeat("a")
    })
  )
})
