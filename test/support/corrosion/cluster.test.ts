import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type { FakeAgent } from "./FakeAgent.ts"
import { PEER_PATH } from "./PeerLinks.ts"
import { insert, manual, SELECT } from "./setup.ts"
import { ask, subscribe, transact } from "./talk.ts"

/** All agents, each linked to the next. */
const chain = (count: number) =>
  Effect.gen(function* () {
    const agents: Array<FakeAgent> = []
    for (let index = 0; index < count; index++) {
      const agent = yield* manual({ tickMs: 0 })
      const before = agents.at(-1)
      if (before !== undefined) yield* agent.control({ do: "link", peer: before.url })
      agents.push(agent)
    }
    return agents
  })

const rowsAt = ({ url }: FakeAgent) =>
  Effect.map(ask(`${url}/v1/queries`, { json: "SELECT * FROM backends ORDER BY id" }), ({ body }) =>
    body.split("\n").slice(1, -2)
  )

/** Waits until the rows of an agent are these. */
const become = (agent: FakeAgent, sql: string, wanted: ReadonlyArray<unknown>) =>
  Effect.scoped(
    Effect.gen(function* () {
      const listener = yield* subscribe(agent.url, sql)
      const rows = new Map<unknown, unknown>()
      const isThere = () =>
        JSON.stringify([...rows.values()].map((each) => JSON.stringify(each)).sort()) ===
        JSON.stringify(wanted.map((each) => JSON.stringify(each)).sort())
      for (const line of yield* listener.snapshot) {
        if (typeof line === "object" && line !== null && "row" in line) {
          const [rowid, cells] = line.row as [number, unknown]
          rows.set(rowid, cells)
        }
      }
      while (!isThere()) {
        const [line] = yield* listener.next(1)
        const [type, rowid, cells] = (line as { change: [string, number, unknown] }).change
        if (type === "delete") rows.delete(rowid)
        else rows.set(rowid, cells)
      }
    })
  )

describe("agents that are linked", () => {
  it.live("pass on what is written at one of them, and its deletion", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const agents = yield* chain(3)
        const [first, , last] = agents
        assert(first !== undefined && last !== undefined)
        const listener = yield* subscribe(last.url, SELECT)
        yield* listener.snapshot
        yield* transact(first.url, insert("m1"), "UPDATE backends SET extra = x'0102', load = 0.5")
        yield* listener.next(1)
        assert.deepStrictEqual(yield* rowsAt(last), ['{"row":[1,["m1","shop",1,0.5,[1,2]]]}'])
        yield* transact(last.url, "UPDATE backends SET healthy = 0")
        yield* become(first, SELECT, [["m1", "shop", 0]])
        yield* transact(first.url, "DELETE FROM backends")
        assert.deepStrictEqual(yield* listener.next(2), [
          { change: ["update", 1, ["m1", "shop", 0], 2] },
          { change: ["delete", 1, ["m1", "shop", 0], 3] }
        ])
        for (const agent of agents) yield* become(agent, SELECT, [])
      })
    )
  )

  it.live("answer before the others know, and tell them after a delay", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const [first, second] = yield* chain(2)
        assert(first !== undefined && second !== undefined)
        yield* transact(first.url, insert("m0"))
        yield* become(second, SELECT, [["m0", "shop", 1]])
        yield* first.control({ do: "delay", ms: 60 })
        const began = performance.now()
        assert.strictEqual((yield* transact(first.url, insert("m1"))).status, 200)
        assert.strictEqual((yield* rowsAt(second)).length, 1)
        yield* become(second, SELECT, [
          ["m0", "shop", 1],
          ["m1", "shop", 1]
        ])
        assert.isAtLeast(performance.now() - began, 59)
      })
    )
  )

  it.live("merge column by column what was written while they were apart", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const [first, second] = yield* chain(2)
        assert(first !== undefined && second !== undefined)
        yield* transact(first.url, insert("m1"), insert("m2"), insert("m3"))
        yield* become(second, "SELECT id FROM backends", [["m1"], ["m2"], ["m3"]])
        yield* first.control({ do: "cut" })
        yield* transact(
          first.url,
          "UPDATE backends SET app = 'a' WHERE id = 'm1'",
          "DELETE FROM backends WHERE id = 'm2'"
        )
        yield* transact(
          second.url,
          "UPDATE backends SET healthy = 0 WHERE id = 'm1'",
          "UPDATE backends SET app = 'b', load = 2 WHERE id = 'm1'",
          "UPDATE backends SET healthy = 9 WHERE id = 'm2'",
          insert("m4")
        )
        // Deleted and there again: a later life than that which the other one wrote to.
        yield* transact(first.url, "DELETE FROM backends WHERE id = 'm3'")
        yield* transact(first.url, insert("m3", "new", 0))
        yield* transact(second.url, "UPDATE backends SET app = 'x', healthy = 5 WHERE id = 'm3'")
        assert.deepStrictEqual((yield* rowsAt(second)).length, 4)
        // Nor does the other direction get through, although only one end was told of the cut.
        const body = JSON.stringify({ from: second.url, actor: second.actorId, rows: [] })
        const pushed = ask(first.url + PEER_PATH, { body })
        assert.strictEqual((yield* pushed).status, 503)
        yield* first.control({ do: "heal" })
        assert.strictEqual((yield* pushed).status, 200)
        const merged = [
          ["m1", "b", 0, 2],
          ["m3", "new", 0, null],
          ["m4", "shop", 1, null]
        ]
        for (const agent of [first, second]) {
          yield* become(agent, "SELECT id, app, healthy, load FROM backends", merged)
        }
      })
    )
  )

  it.live("catch up with one that was stopped, or began anew", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const [first, second] = yield* chain(2)
        assert(first !== undefined && second !== undefined)
        yield* transact(first.url, insert("m1"))
        yield* become(second, SELECT, [["m1", "shop", 1]])
        yield* second.control({ do: "stop" })
        yield* transact(first.url, insert("m2"))
        yield* second.control({ do: "start" })
        yield* become(second, "SELECT id FROM backends", [["m1"], ["m2"]])
        const third = yield* manual({ tickMs: 0 })
        yield* third.control({ do: "link", peer: second.url })
        yield* become(third, "SELECT id FROM backends", [["m1"], ["m2"]])
      })
    )
  )

  it.live("give another agent on the port of one that is gone all they have", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const [first] = yield* chain(1)
        assert(first !== undefined)
        yield* transact(first.url, insert("m1"))
        const port = yield* Effect.scoped(
          Effect.gen(function* () {
            const second = yield* manual({ tickMs: 0 })
            yield* first.control({ do: "link", peer: second.url })
            yield* become(second, "SELECT id FROM backends", [["m1"]])
            return second.port
          })
        )
        const another = yield* manual({ tickMs: 0, port })
        yield* transact(first.url, insert("m2"))
        yield* become(another, "SELECT id FROM backends", [["m1"], ["m2"]])
      })
    )
  )

  it.live("do not count changes of others as versions of their own", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const [first, second] = yield* chain(2)
        assert(first !== undefined && second !== undefined)
        yield* transact(first.url, insert("m1"))
        yield* become(second, "SELECT id FROM backends", [["m1"]])
        const { body } = yield* transact(second.url, insert("m2"))
        assert.deepInclude(JSON.parse(body), { version: 1 })
      })
    )
  )
})
