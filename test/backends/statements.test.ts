import { assert, describe, it } from "@effect/vitest"
import { statementsOf } from "../../src/backends/statements.ts"
import { decodeBackend, sameBackend } from "../../src/domain/Backend.ts"
import { decodeState } from "../../src/domain/BackendState.ts"
import { backends } from "../support/arbitraries.ts"
import { backend } from "../support/fixtures.ts"
import { makeWorld } from "../support/registryRig.ts"
import type { StoreChange } from "../../src/backends/BackendStore.ts"

const put = (fields: Parameters<typeof backend>[0]): StoreChange => ({
  _tag: "Put",
  backend: backend(fields),
  owner: "gru",
  source: "api",
  at: 1_000
})

const worldWith = (...changes: ReadonlyArray<StoreChange>) => {
  const world = makeWorld()
  const write = (change: StoreChange): void => {
    for (const { params, sql } of statementsOf(change)) world.db.prepare(sql).run(...params)
  }
  changes.forEach(write)
  return { ...world, write }
}

describe("a change, in SQL", () => {
  it.prop("whatever is put decodes to itself", [backends], ([one]) => {
    const { rows, states } = worldWith({ _tag: "Put", backend: one, owner: "gru", source: "api", at: 5 })
    const [row] = rows()
    const [state] = states()
    const decoded = decodeBackend(row ?? {})
    return (
      decoded._tag === "Backend" &&
      sameBackend(decoded.backend, { ...one, healthy: true, draining: false, expired: false }) &&
      decodeState(state ?? {})?.registeredAt === 5
    )
  })

  it("put again keeps what an operator says of its health and its drain", () => {
    const { rows, states, write } = worldWith(put({ id: "a" }))
    write({ _tag: "Set", id: "a", fields: { healthy: false, weight: 9 } })
    write({ _tag: "Drain", id: "a", draining: true })
    write({ _tag: "Expire", id: "a", owner: "fra" })
    write(put({ id: "a", weight: 3 }))
    assert.deepInclude(rows()[0], { healthy: 0, weight: 3, deleted: 0 })
    assert.deepInclude(states()[0], { draining: 1, expired: 0, owner: "gru", source: "api" })
  })

  it("put where one was deleted is new", () => {
    const { db, rows, write } = worldWith(put({ id: "a" }))
    db.exec("UPDATE backends SET deleted = 1, healthy = 0")
    write(put({ id: "a" }))
    assert.deepInclude(rows()[0], { healthy: 1, deleted: 0 })
  })

  it("of one that is not there makes none of it", () => {
    const { rows, states, write } = worldWith()
    write({ _tag: "Set", id: "a", fields: { weight: 3 } })
    write({ _tag: "Set", id: "a", fields: {} })
    write({ _tag: "Heartbeat", id: "a", owner: "gru", at: 7 })
    write({ _tag: "Expire", id: "a", owner: "gru" })
    write({ _tag: "Remove", id: "a" })
    assert.deepStrictEqual([rows(), states()], [[], []])
  })

  it("changes one backend only, made twice is made once", () => {
    const { rows, states, write } = worldWith(put({ id: "a" }), put({ id: "b" }))
    const before = [rows()[1], states()[1]]
    for (const change of [
      { _tag: "Set", id: "a", fields: { app: "x", port: 1, hardLimit: 0 } },
      { _tag: "Heartbeat", id: "a", owner: "fra", at: 9 },
      { _tag: "Remove", id: "a" }
    ] satisfies ReadonlyArray<StoreChange>) {
      write(change)
      const once = [rows(), states()]
      write(change)
      assert.deepStrictEqual([rows(), states()], once)
      assert.deepStrictEqual([rows().find(({ id }) => id === "b"), states().find(({ id }) => id === "b")], before)
    }
  })

  it("keeps hostile names to their columns", () => {
    const id = `x'); DROP TABLE backends; --`
    const { rows, states } = worldWith(put({ id, app: `"';--` }), { _tag: "Drain", id, draining: true })
    assert.deepInclude(rows()[0], { id, app: `"';--` })
    assert.deepInclude(states()[0], { id, draining: 1 })
  })

  it.prop("asks for as many values as it gives", [backends], ([one]) =>
    statementsOf({ _tag: "Put", backend: one, owner: "", source: "", at: 0 }).every(
      ({ params, sql }) => sql.split("?").length - 1 === params.length
    )
  )
})
