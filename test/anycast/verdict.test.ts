import { assert, describe, it } from "@effect/vitest"
import { type PopHealth, verdictOf } from "../../src/anycast/verdict.ts"

const well: PopHealth = {
  draining: false,
  notReady: [],
  backends: 3,
  minBackends: 2,
  overloads: [],
  fullness: 0.5
}

describe("where a POP ought to stand", () => {
  it.each([
    ["well", {}, "announced", false, []],
    ["draining", { draining: true }, "withdrawn", true, ["draining"]],
    ["not ready", { notReady: ["no-table"] }, "withdrawn", true, ["no-table"]],
    ["too few backends", { backends: 1 }, "withdrawn", false, ["too-few-backends"]],
    ["overloaded", { overloads: ["loop", "memory"] }, "degraded", false, ["overload-loop", "overload-memory"]],
    ["nearly full", { fullness: 0.9 }, "degraded", false, ["nearly-full"]],
    ["nearly full, not quite", { fullness: 0.89 }, "announced", false, []],
    [
      "no backend, which is never a reason to withdraw",
      { backends: 0, minBackends: 0 },
      "degraded",
      false,
      ["no-backend"]
    ],
    [
      "draining before all else",
      { draining: true, notReady: ["no-table"], backends: 0 },
      "withdrawn",
      true,
      ["draining"]
    ]
  ] as const)("%s", (_, change, level, urgent, reasons) => {
    assert.deepStrictEqual(verdictOf({ ...well, ...change }), { level, urgent, reasons })
  })
})
