import { assert, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Schema from "effect/Schema"
import * as EndQueue from "../../src/replay/EndQueue.ts"
import * as lines from "../../src/replay/lines.ts"
import * as RecordedLog from "../../src/replay/RecordedLog.ts"
import { between } from "../support/arbitraries.ts"
import { line, logOf } from "./rig.ts"

describe("a recorded log", () => {
  it("has what matters of a line", () => {
    const log = logOf([line(10, 5, { app: "shop", tier: 2 })])
    const recorded = log.at(0)
    assert.deepInclude(recorded, { app: "shop", backend: "b1", tier: 2, bytes: 3 })
    assert.strictEqual(`${recorded.geo.country} ${recorded.geo.region}`, "BR sa")
    assert.strictEqual(recorded.endMs - recorded.startMs, 5_000)
    assert.strictEqual(recorded.client.address, "203.0.113.7")
  })

  it("is gone through in the order in which the connections began", () => {
    const log = logOf([line(5, 1), line(0, 100), line(3, 4), line(3, 9)])
    assert.deepStrictEqual(Array.from(log.order()), [1, 2, 3, 0])
  })

  it.each([
    ["", "bad"],
    ["garbage", "bad"],
    ["null", "bad"],
    ["[]", "bad"],
    ['{"ts":1}', "bad"],
    [line(0, 0, { client: "nobody" }), "bad"],
    [line(0, -1), "bad"],
    [line(0, 0, { ts: "yesterday" }), "bad"],
    [line(0, 0).slice(0, -5), "bad"],
    [line(0, 0, { end_phase: "pre-route" }), "refused"],
    [line(0, 0, { country: "XX", region: "moon", tier: 9, backend: "" } as object), "taken"],
    [line(0, 0, { country: null, region: null, backend: null, tier: null }), "taken"]
  ] as const)("%s is %s", (text, taken) => {
    const log = RecordedLog.make()
    assert.strictEqual(log.add(text), taken)
    assert.strictEqual(log.counts[taken], 1)
    assert.strictEqual(log.size(), taken === "taken" ? 1 : 0)
    if (taken === "taken") assert.deepStrictEqual(log.at(0).geo, { country: undefined, region: undefined })
  })

  it.prop("any text is a line or is none", [Schema.String], ([text]) => {
    RecordedLog.make().add(text)
  })
})

const pieces = Arbitrary.array(Arbitrary.schema(Schema.Literals(["a", "bc", "\n", "\r\n", "\n\n", " "])))

describe("lines", () => {
  it.prop("are the same in whatever pieces they come", [pieces], ([parts]) => {
    const splitter = lines.makeSplitter()
    const got = [...parts.flatMap((part) => splitter.push(part)), ...splitter.end()]
    const expected = parts
      .join("")
      .split("\n")
      .map((text) => (text.endsWith("\r") ? text.slice(0, -1) : text))
      .filter((text) => text.trim() !== "")
    assert.deepStrictEqual(got, expected)
  })

  it("that are too long are counted and not kept", () => {
    const splitter = lines.makeSplitter()
    const got: Array<string> = []
    for (let count = 0; count < 100; count++) got.push(...splitter.push("x".repeat(10_000)))
    got.push(...splitter.push("\nok\n"), ...splitter.push("y".repeat(70_000) + "\n"), ...splitter.end())
    assert.deepStrictEqual(got, ["ok"])
    assert.strictEqual(splitter.overlong(), 2)
  })
})

describe("a queue of ends", () => {
  it.prop("gives the earliest first", [Arbitrary.array(Arbitrary.schema(between(0, 50)))], ([times]) => {
    const queue = EndQueue.make<number>()
    times.forEach((time, index) => queue.add(time, index))
    const got: Array<number> = []
    for (let next = queue.next(40); next !== undefined; next = queue.next(40)) got.push(next.atMs)
    assert.deepStrictEqual(
      got,
      times.filter((time) => time <= 40).sort((a, b) => a - b)
    )
  })
})
