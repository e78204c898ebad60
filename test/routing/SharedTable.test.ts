import { assert, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Effect from "effect/Effect"
import { type BackendRow, encodeBackend } from "../../src/domain/Backend.ts"
import type { LocalChange } from "../../src/routing/LocalChanges.ts"
import { decodeTable } from "../../src/routing/TableUpdate.ts"
import { backends, between } from "../support/arbitraries.ts"
import { backend, row } from "../support/fixtures.ts"
import { makePop, makeWorld } from "../support/registryRig.ts"
import * as tableRig from "../support/tableRig.ts"

describe("R9: rows of a shared table", () => {
  it.effect("that point where they may not are left out, with the reason, and harm no other", () =>
    Effect.gen(function* () {
      const { source, table, upstreams } = yield* makePop(makeWorld(), "gru")
      yield* source.tables(
        [
          row({ id: "good", wg_ip: "10.0.0.1" }),
          row({ id: "secrets", wg_ip: "169.254.169.254" }),
          row({ id: "host", wg_ip: "127.0.0.1" }),
          row({ id: "mapped", wg_ip: "::ffff:127.0.0.1" }),
          row({ id: "stranger", wg_ip: "8.8.8.8" })
        ],
        []
      )
      assert.isDefined(upstreams.get("good"))
      for (const id of ["secrets", "host", "mapped", "stranger"]) assert.isUndefined(upstreams.get(id), id)
      assert.deepInclude(table.status(), { backends: 1, quarantined: 4 })
    })
  )

  it.effect("of states that make no sense say nothing", () =>
    Effect.gen(function* () {
      const { registry, source, upstreams } = yield* makePop(makeWorld(), "gru")
      const odd = [null, -1, 2 ** 70, "x".repeat(10_000), {}, [], new Uint8Array(9), 1n << 80n, true, Number.NaN]
      yield* source.tables(
        [row({ id: "a" }), row({ id: "b" })],
        [
          ...odd.map((value) => ({ id: "a", owner: value, source: value, registered_at: value, heartbeat_at: value })),
          ...odd.map((value) => ({ id: value, source: "api", draining: 1 })),
          {},
          { id: "b", draining: 1 }
        ]
      )
      assert.deepInclude(registry.get("a"), { source: "table", state: "active" })
      assert.strictEqual(upstreams.get("b")?.backend.draining, true)
    })
  )

  it.effect.prop(
    "give the same table when those that are known are not decoded again",
    [
      Arbitrary.array(Arbitrary.all([backends, Arbitrary.schema(between(0, 3))]), { maxLength: 30 }),
      Arbitrary.array(Arbitrary.schema(between(0, 29)), { maxLength: 10 })
    ],
    ([all, gone]) =>
      Effect.gen(function* () {
        const known = { rows: new Map() }
        const refuses = ({ port }: { readonly port: number }) => (port % 3 === 0 ? "a third of all ports" : undefined)
        const first: ReadonlyArray<BackendRow> = all.map(([one, what]) => ({
          ...encodeBackend(one),
          ...(what === 0 ? { port: 0 } : what === 1 ? { deleted: 1 } : {})
        }))
        const states = first.filter((_, index) => index % 2 === 0).map(({ id }) => ({ id, draining: 1 }))
        yield* decodeTable(first, { known, refuses, states })
        const later = first.filter((_, index) => !gone.includes(index))
        const again = yield* decodeTable(later, { known, refuses, states })
        assert.deepStrictEqual(again, yield* decodeTable(later, { refuses, states }))
        assert.deepStrictEqual(new Set(known.rows.keys()), new Set(later))
      })
  )
})

describe("T5: what this POP changes itself", () => {
  const draining = (id: string): LocalChange => ({
    id,
    at: 0,
    change: (before) => before && { ...before, draining: true }
  })

  it.effect("is not held, whatever share it is, and is what later updates are measured against", () =>
    Effect.gen(function* () {
      const { ids, sound, source, table } = yield* tableRig.make()
      yield* source.rows(...tableRig.rows(10))
      yield* table.apply(Array.from({ length: 8 }, (_, index) => ({ id: `b${index}`, at: 0, change: () => undefined })))
      assert.deepStrictEqual([ids(), table.status().held], [["b8", "b9"], undefined])
      yield* source.rows(...tableRig.rows(10).slice(8))
      assert.deepStrictEqual([ids(), table.status().held, sound()], [["b8", "b9"], undefined, true])
    })
  )

  it.effect("is stored with the next update, and survives one that is held and taken later", () =>
    Effect.gen(function* () {
      const { ids, source, storedIds, table } = yield* tableRig.make()
      yield* source.rows(...tableRig.rows(10))
      yield* source.rows(...tableRig.rows(2))
      assert.isDefined(table.status().held)
      yield* table.apply([{ id: "new", at: 0, change: () => backend({ id: "new" }) }, draining("b0")])
      assert.isTrue(yield* table.confirm)
      assert.sameMembers([...ids()], ["b0", "b1", "new"])
      assert.sameMembers([...((yield* storedIds) ?? [])], ["b0", "b1", "new"])
    })
  )

  it.effect("is in the snapshot that is published", () =>
    Effect.gen(function* () {
      const { current, source, table } = yield* tableRig.make()
      yield* source.rows(...tableRig.rows(2))
      const before = (yield* current).version
      yield* table.apply([draining("b1")])
      const { backends: now, version } = yield* current
      assert.deepStrictEqual([now.get("b1")?.draining, now.get("b0")?.draining, version], [true, false, before + 1])
    })
  )
})
