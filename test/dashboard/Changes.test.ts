import { assert, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Changes from "../../src/dashboard/Changes.ts"
import { between, oneOf } from "../support/arbitraries.ts"

const read = (json: string | undefined): Record<string, unknown> =>
  json === undefined ? {} : (JSON.parse(json) as Record<string, unknown>)

/** A key gets a value, goes away, or one of two viewers looks. */
const step = Arbitrary.all({
  act: oneOf(["put", "put", "drop", "look"] as const),
  key: oneOf(["a", "b", "c", '"', "__proto__", "7"]),
  value: Arbitrary.schema(between(0, 3)),
  viewer: Arbitrary.schema(between(0, 1)),
  most: oneOf([1, 2, Infinity])
})

describe("changes", () => {
  it.prop(
    "whoever looks, at whatever times and in whatever portions, ends with what there is",
    [Arbitrary.array(step, { maxLength: 60 })],
    ([steps]) => {
      const changes = Changes.make()
      const truth = new Map<string, unknown>()
      const viewers = [0, 1].map(() => ({ cursor: 0, known: new Map<string, unknown>() }))
      const look = (viewer: (typeof viewers)[number], most: number): number => {
        const { cursor, json } = changes.since(viewer.cursor, most)
        viewer.cursor = cursor
        const told = Object.entries(read(json))
        for (const [key, value] of told) {
          if (value === null) viewer.known.delete(key)
          else viewer.known.set(key, value)
        }
        return told.length
      }
      for (const { act, key, most, value, viewer: index } of steps) {
        if (act === "put") {
          truth.set(key, value)
          changes.put(key, `${value}`)
        } else if (act === "drop") {
          truth.delete(key)
          changes.drop(key)
        } else {
          const viewer = viewers[index]
          if (viewer !== undefined) assert.isAtMost(look(viewer, most), most)
        }
      }
      for (const viewer of viewers) {
        look(viewer, Infinity)
        assert.deepStrictEqual(new Map([...viewer.known].sort()), new Map([...truth].sort()))
        assert.strictEqual(look(viewer, Infinity), 0)
      }
    }
  )

  it("says nothing of a value that is what it was, and the latest of one that has changed twice", () => {
    const changes = Changes.make()
    changes.put("a", "1")
    changes.put("b", "1")
    const { cursor } = changes.since(0)
    changes.put("a", "1")
    assert.strictEqual(changes.since(cursor).json, undefined)
    changes.put("a", "2")
    changes.put("a", "3")
    assert.strictEqual(changes.since(cursor).json, '{"a":3}')
  })

  it("what has waited longest comes first", () => {
    const changes = Changes.make()
    for (const key of ["a", "b", "c"]) changes.put(key, "1")
    const first = changes.since(0, 2)
    assert.strictEqual(first.json, '{"a":1,"b":1}')
    changes.put("a", "2")
    assert.strictEqual(changes.since(first.cursor, 1).json, '{"c":1}')
  })
})
