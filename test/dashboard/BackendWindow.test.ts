import { assert, describe, it } from "@effect/vitest"
import * as BackendWindow from "../../src/dashboard/BackendWindow.ts"
import * as LiveView from "../../src/dashboard/LiveView.ts"
import { viewOf } from "../api/MemoryRegistry.ts"

const idle = { sent: 0, received: 0 }

/** A window, and what one who looks after each round knows of it. */
const make = (most?: number) => {
  const window = BackendWindow.make(most)
  const view = LiveView.empty()
  let rows = 0
  let loads = 0
  const look = (seconds?: number): void => {
    window.finish(seconds)
    const [told, load] = [window.rows.since(rows), window.loads.since(loads)]
    rows = told.cursor
    loads = load.cursor
    LiveView.add(view, {
      at: 0,
      backends: JSON.parse(told.json ?? "{}"),
      loads: JSON.parse(load.json ?? "{}")
    })
  }
  return {
    window,
    view,
    look,
    ids: () => Array.from(view.backends.values(), ([id]) => id).sort(),
    loadOf: (id: string) => {
      const [slot] = Array.from(view.backends).find(([, row]) => row[0] === id) ?? []
      return slot === undefined ? undefined : view.loads.get(slot)
    }
  }
}

describe("the backends that are shown", () => {
  it("come and go with the table, and a new one in an old place is not taken for the old one", () => {
    const { ids, loadOf, look, window } = make()
    window.see(viewOf({ id: "a", connections: 3 }), { sent: 10, received: 20 })
    window.see(viewOf({ id: "b" }), idle)
    look(Infinity)
    assert.deepStrictEqual(ids(), ["a", "b"])
    window.see(viewOf({ id: "a", connections: 3 }), { sent: 30, received: 80 })
    window.see(viewOf({ id: "b" }), idle)
    look(2)
    assert.deepStrictEqual(loadOf("a"), [3, 10, 30])
    window.see(viewOf({ id: "b" }), idle)
    window.see(viewOf({ id: "c" }), idle)
    look(1)
    assert.deepStrictEqual(ids(), ["b", "c"])
    window.see(viewOf({ id: "c", connections: 1 }), idle)
    look(1)
    assert.deepStrictEqual([ids(), loadOf("c")], [["c"], [1, 0, 0]])
  })

  it("a count that begins anew is no negative rate", () => {
    const { loadOf, look, window } = make()
    window.see(viewOf({ id: "a" }), { sent: 1_000, received: 1_000 })
    look(Infinity)
    window.see(viewOf({ id: "a" }), { sent: 5, received: 5 })
    look(1)
    assert.deepStrictEqual(loadOf("a"), [0, 0, 0])
  })

  it("a round without seconds tells of states and leaves rates to the next one that has them", () => {
    const { loadOf, look, view, window } = make()
    window.see(viewOf({ id: "a" }), idle)
    look(Infinity)
    window.see(viewOf({ id: "a", state: "down", checkError: "refused" }), idle)
    look()
    assert.include(JSON.stringify([...view.backends.values()]), '"down","closed","refused"')
    window.see(viewOf({ id: "a", state: "down" }), { sent: 100, received: 0 })
    look(2)
    assert.deepStrictEqual(loadOf("a"), [0, 50, 0])
  })

  it("are bounded: those in trouble take the places of those without, and nobody else does", () => {
    const { ids, look, window } = make(3)
    const round = (troubled: ReadonlyArray<string>): void => {
      for (const id of ["a", "b", "c", "d", "e", "f"]) {
        window.see(viewOf({ id, state: troubled.includes(id) ? "down" : "active" }), idle)
      }
      look(1)
    }
    round([])
    assert.deepStrictEqual(ids(), ["a", "b", "c"])
    round(["e"])
    assert.deepStrictEqual(ids(), ["b", "c", "e"])
    round([])
    assert.deepStrictEqual(ids(), ["b", "c", "e"])
    round(["a", "b", "d", "f"])
    assert.strictEqual(ids().length, 3)
    assert.isTrue(ids().every((id) => ["a", "b", "d", "f"].includes(id)))
  })
})
