import { assert, describe, it } from "@effect/vitest"
import { type Condition, readinessOf } from "../../src/api/readiness.ts"
import { SourceError } from "../../src/routing/BackendSource.ts"

const fine: Condition = {
  draining: false,
  table: {
    version: 1,
    origin: "source",
    backends: 3,
    quarantined: 0,
    ageMs: 100,
    lost: undefined,
    held: undefined
  },
  listeners: { wanted: 2, open: 2 },
  pausedMs: undefined,
  actors: [],
  threadsBehind: false,
  storeFails: false,
  others: []
}

const lost = new SourceError({ source: "sqlite", target: "/secret/path", reason: "missing", detail: "no such file" })

describe("readiness (D3)", () => {
  it("is there when nothing is amiss", () => {
    assert.deepStrictEqual(readinessOf(fine), { reasons: [], degraded: [] })
    assert.deepStrictEqual(readinessOf({ ...fine, pausedMs: 5_000 }).reasons, [])
  })

  it.each([
    ["draining", { draining: true }],
    ["no-table", { table: { ...fine.table, origin: "none", ageMs: undefined } }],
    ["listener-down", { listeners: { wanted: 2, open: 1 } }],
    ["accepting-paused", { pausedMs: 5_001 }]
  ] as const)("is not while %s", (reason, change) => {
    assert.deepStrictEqual(readinessOf({ ...fine, ...change }), { reasons: [reason], degraded: [] })
  })

  it.each([
    ["source-lost", { table: { ...fine.table, lost } }],
    ["table-old", { table: { ...fine.table, ageMs: 60_001 } }],
    ["table-stored", { table: { ...fine.table, origin: "snapshot" } }],
    ["update-held", { table: { ...fine.table, held: { eligible: 4, lost: 3 } } }],
    ["store-failing", { storeFails: true }],
    ["data-plane-behind", { threadsBehind: true }],
    ["panic", { others: ["panic"] }],
    ["rows-quarantined", { table: { ...fine.table, quarantined: 1 } }],
    [
      "actor-failing",
      { actors: [{ name: "a", state: "crash-loop", restarts: 5, startedAt: 0, lastFailure: undefined }] }
    ]
  ] as const)("is there, though %s", (name, change) => {
    const readiness = readinessOf({ ...fine, ...change })
    assert.deepStrictEqual(readiness, { reasons: [], degraded: [name] })
    assert.notInclude(JSON.stringify(readiness), "secret")
  })
})
