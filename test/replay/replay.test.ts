import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type { Backend } from "../../src/domain/Backend.ts"
import type { Region } from "../../src/domain/Region.ts"
import { replay, type ReplayOptions } from "../../src/replay/replay.ts"
import { backend } from "../support/fixtures.ts"
import { line, logOf } from "./rig.ts"

const options = (region: Region = "sa", ttlMs = 600_000): ReplayOptions => ({
  router: { region, bindingMaxConnections: 0 },
  upstreams: { spillAt: "hard", panicThreshold: 0 },
  bindings: { ttlMs, gcIntervalMs: 60_000, max: 10_000 }
})

const tableOf = (...backends: ReadonlyArray<Backend>): ReadonlyMap<string, Backend> =>
  new Map(backends.map((one) => [one.id, one]))

const client = (number: number): string => `203.0.${number >> 8}.${number & 255}`

const brazil = { id: "b1", region: "sa", country: "BR" } as const

describe("a replay", () => {
  it.effect("sends everybody where they went when nothing has changed", () =>
    Effect.gen(function* () {
      const log = logOf(Array.from({ length: 50 }, (_, at) => line(at, 10, { client: client(at), tier: 0 })))
      const report = yield* replay(log, tableOf(backend(brazil), backend({ id: "far", region: "ap" })), options())
      assert.deepInclude(report, { routed: 50, same: 50, moved: 0, lost: 0, gained: 0, none: 0, peak: 10 })
      assert.deepStrictEqual(
        [report.tiers_then, report.tiers_now],
        [
          [50, 0, 0, 0],
          [50, 0, 0, 0]
        ]
      )
      assert.deepStrictEqual(report.moves, [])
      assert.deepStrictEqual(
        report.backends.map(({ before, id, now }) => [id, before, now]),
        [
          ["b1", 50, 50],
          ["far", 0, 0]
        ]
      )
    })
  )

  it.effect("without a backend shows where its clients go, and that they go farther", () =>
    Effect.gen(function* () {
      const log = logOf([
        line(0, 1, { tier: 0 }),
        line(1, 1, { tier: 0, client: client(1), country: "JP", region: "ap" })
      ])
      const report = yield* replay(log, tableOf(backend({ id: "far", region: "us" })), options())
      assert.deepInclude(report, { moved: 2, same: 0 })
      assert.deepStrictEqual(report.tiers_now, [0, 0, 0, 2])
      assert.deepStrictEqual(report.moves, [{ from: "b1", to: "far", connections: 2 }])
      assert.deepStrictEqual(
        report.countries.map(({ place, to }) => [place, to]),
        [
          ["BR", { us: 1 }],
          ["JP", { us: 1 }]
        ]
      )
      assert.deepInclude(
        report.backends.find(({ id }) => id === "b1"),
        { before: 2, now: 0, region: null, soft_limit: null }
      )
    })
  )

  it.effect(
    "says which limits are hit, when, and who would be closed; places are free again when connections end",
    () =>
      Effect.gen(function* () {
        // Three at once at a backend that takes two; then one after the other.
        const log = logOf([
          ...[0, 1, 2].map((at) => line(at, 10, { client: client(at) })),
          ...[20, 30, 40].map((at) => line(at, 5, { client: client(at) }))
        ])
        const report = yield* replay(log, tableOf(backend({ ...brazil, softLimit: 1, hardLimit: 2 })), options())
        assert.deepStrictEqual(report.unroutable, { "no-backend": 0, "no-capacity": 1 })
        assert.deepInclude(report, { routed: 5, lost: 1, same: 5, peak: 2 })
        assert.deepInclude(report.backends[0], {
          peak: 2,
          over_soft: 1,
          full_at: "2026-11-21T00:00:01.000Z",
          hard_limit: 2
        })
        assert.deepInclude(report.regions[0], { place: "sa", connections: 6, unroutable: 1, to: { sa: 5 } })
      })
  )

  it.effect("keeps clients bound by the time of the log, not by ours", () =>
    Effect.gen(function* () {
      const two = tableOf(backend({ ...brazil, id: "x" }), backend({ ...brazil, id: "y" }))
      /** Where the client comes back to, while `other` makes one of the two the fuller one. */
      const backTo = Effect.fnUntraced(function* (other: number, ttlMs: number) {
        const others = [1, 2, 100 + other].map((at) => line(50 + at / 100, 1_000, { client: client(at) }))
        const log = logOf([line(0, 1), ...others, line(200, 1, { backend: "came-back" })])
        const { moves } = yield* replay(log, two, options("sa", ttlMs))
        return moves.find(({ from }) => from === "came-back")?.to ?? null
      })
      const all = (ttlMs: number) =>
        Effect.map(
          Effect.forEach(
            Array.from({ length: 12 }, (_, other) => other),
            (other) => backTo(other, ttlMs)
          ),
          (found) => new Set(found).size
        )
      assert.strictEqual(yield* all(600_000), 1)
      assert.strictEqual(yield* all(60_000), 2)
    })
  )

  it.effect("gains those that had nobody, and loses those that have nobody now", () =>
    Effect.gen(function* () {
      const none = { backend: null, tier: null, end_phase: "route", end_cause: "no-backend" } as const
      const log = logOf([line(0, 1, none)])
      assert.deepInclude(yield* replay(log, tableOf(backend(brazil)), options()), { gained: 1, none: 0 })
      const empty = yield* replay(log, tableOf(), options())
      assert.deepInclude(empty, { gained: 0, none: 1, routed: 0 })
      assert.deepInclude(yield* replay(logOf([line(0, 1)]), tableOf(), options()), { lost: 1 })
      assert.deepStrictEqual(empty.unroutable, { "no-backend": 1, "no-capacity": 0 })
    })
  )

  it.effect("leaves out what the table takes out, and keeps apps apart", () =>
    Effect.gen(function* () {
      const table = tableOf(
        backend({ ...brazil, draining: true }),
        backend({ ...brazil, id: "b2", app: "shop" }),
        backend({ ...brazil, id: "b3", app: "mail" })
      )
      const log = logOf([line(0, 1, { app: "shop" }), line(1, 1, { app: "mail" }), line(2, 1, { app: "none" })])
      const { backends, unroutable } = yield* replay(log, table, options())
      assert.deepStrictEqual(
        backends.filter(({ now }) => now > 0).map(({ id, now }) => [id, now]),
        [
          ["b2", 1],
          ["b3", 1]
        ]
      )
      assert.strictEqual(unroutable["no-backend"], 1)
    })
  )

  it.effect("of an empty log is empty", () =>
    Effect.gen(function* () {
      const report = yield* replay(logOf([]), tableOf(backend(brazil)), options())
      assert.deepInclude(report, { routed: 0, peak: 0 })
      assert.deepStrictEqual([report.log.from, report.log.to], [null, null])
    })
  )
})
