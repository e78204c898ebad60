import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { insert, manual, SELECT } from "./setup.ts"
import { ask, listen, lost, subscribe, transact } from "./talk.ts"

const eoq = (change_id: number) => ({ eoq: { time: 8e-8, change_id } })
const inserted = (id: number) => ({ change: ["insert", id, [`m${id}`, "shop", 1], id] })

const listening = Effect.gen(function* () {
  const agent = yield* manual()
  const listener = yield* subscribe(agent.url, SELECT)
  yield* listener.snapshot
  const add = (id: number) => Effect.andThen(transact(agent.url, insert(`m${id}`)), agent.control({ do: "tick" }))
  const byId = `${agent.url}/v1/subscriptions/${String(listener.headers["corro-query-id"])}`
  return { ...agent, listener, add, byId }
})

describe("an agent that misbehaves", () => {
  it.live("ends a stream in order, without an error line", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const { add, byId, control, listener, subscriptions, watch } = yield* listening
        yield* add(1)
        yield* control({ do: "end", how: "eof" })
        assert.strictEqual(yield* listener.ended, "eof")
        assert.deepStrictEqual(listener.rest(), { lines: [inserted(1)], partial: "" })
        yield* watch.until("no listener", () => subscriptions()[0]?.listeners === 0)
        yield* add(2)
        const resumed = yield* listen(`${byId}?from=1`)
        assert.deepStrictEqual(yield* resumed.next(1), [inserted(2)])
      })
    )
  )

  it.live("closes or resets the connection of a stream", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const { byId, control, listener } = yield* listening
        yield* control({ do: "end", how: "close" })
        assert.strictEqual(yield* listener.ended, "aborted")
        const another = yield* listen(byId)
        yield* another.snapshot
        yield* control({ do: "end", how: "reset" })
        assert.strictEqual(yield* another.ended, "read ECONNRESET")
        // What Node's fetch makes of both.
        for (const how of ["close", "reset"] as const) {
          const response = yield* Effect.promise(() => fetch(byId))
          yield* control({ do: "end", how })
          const error = yield* Effect.promise(() => response.text()).pipe(
            Effect.catchDefect((cause) => Effect.succeed(String(cause)))
          )
          assert.strictEqual(error, "TypeError: terminated")
        }
      })
    )
  )

  it.live("ends a stream in the middle of a line", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const { byId, control, listener } = yield* listening
        yield* control({ do: "end", how: "partial" })
        assert.strictEqual(yield* listener.ended, "eof")
        assert.deepStrictEqual(listener.rest(), { lines: [], partial: '{"change":["update",1,["half' })
        const another = yield* listen(byId)
        yield* another.snapshot
        yield* control({ do: "end", how: "partial-close" })
        assert.strictEqual(yield* another.ended, "aborted")
        assert.match(another.rest().partial, /^\{/)
      })
    )
  )

  it.live("ends a stream with an error line", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const { control, listener } = yield* listening
        yield* control({ do: "end", how: "error", message: "exceeded events buffer" })
        assert.strictEqual(yield* listener.ended, "eof")
        assert.deepStrictEqual(listener.rest(), { lines: [{ error: "exceeded events buffer" }], partial: "" })
      })
    )
  )

  it.live("ends only the streams of one subscription", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const { control, listener, subscriptions, url, watch } = yield* listening
        yield* subscribe(url, "SELECT id FROM backends")
        yield* control({ do: "end", how: "eof", sub: subscriptions()[0]?.id ?? "" })
        assert.strictEqual(yield* listener.ended, "eof")
        yield* watch.until(
          "one listener",
          () =>
            subscriptions()
              .map((each) => each.listeners)
              .join() === "0,1"
        )
      })
    )
  )

  it.live("cuts a first snapshot before eoq; who asks again joins and gets all of it", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const { control, url } = yield* manual()
        yield* transact(url, insert("m1"), insert("m2"))
        yield* control({ do: "cut-before-eoq", rows: 1, on: "subscribe" })
        const cut = yield* subscribe(url, SELECT)
        assert.strictEqual(yield* cut.ended, "eof")
        assert.deepStrictEqual(cut.rest().lines, [
          { columns: ["id", "app", "healthy"] },
          { row: [1, ["m1", "shop", 1]] }
        ])
        const again = yield* subscribe(url, SELECT)
        assert.strictEqual(again.headers["corro-query-id"], cut.headers["corro-query-id"])
        assert.deepStrictEqual((yield* again.snapshot).slice(1), [
          { row: [1, ["m1", "shop", 1]] },
          { row: [2, ["m2", "shop", 1]] },
          eoq(0)
        ])
      })
    )
  )

  it.live("leaves a gap, which a resumed stream does not have", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const { add, byId, control, listener } = yield* listening
        yield* add(1)
        yield* control({ do: "gap", count: 2 })
        for (const id of [2, 3, 4]) yield* add(id)
        assert.deepStrictEqual(yield* listener.next(2), [inserted(1), inserted(4)])
        const resumed = yield* listen(`${byId}?from=1`)
        assert.deepStrictEqual(yield* resumed.next(3), [inserted(2), inserted(3), inserted(4)])
      })
    )
  )

  it.live("repeats a change, and goes back to one before", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const { add, control, listener } = yield* listening
        yield* add(1)
        yield* add(2)
        yield* control({ do: "repeat" })
        yield* control({ do: "regress" })
        yield* add(3)
        assert.deepStrictEqual(yield* listener.next(5), [
          inserted(1),
          inserted(2),
          inserted(2),
          inserted(1),
          inserted(3)
        ])
      })
    )
  )

  it.live("sends a few bytes per chunk, which split lines and characters", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const { control, url } = yield* manual()
        yield* transact(url, insert("m1", "Zürich 東京 🚀"))
        for (const bytes of [1, 2, 3, 5, 7]) {
          yield* control({ do: "pieces", bytes })
          const listener = yield* subscribe(url, SELECT)
          const [, found] = yield* listener.snapshot
          assert.deepStrictEqual(found, { row: [1, ["m1", "Zürich 東京 🚀", 1]] })
          assert.isTrue(listener.chunks.slice(0, -1).every(({ length }) => length === bytes))
          const isSplit = listener.chunks.some(({ [0]: byte = 0 }) => byte >= 0x80 && byte < 0xc0)
          assert.isTrue(isSplit, `${bytes} bytes`)
        }
      })
    )
  )

  it.live("sends many lines in one chunk", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const { add, control, listener } = yield* listening
        yield* control({ do: "hold" })
        for (let id = 1; id <= 50; id++) yield* add(id)
        const before = listener.chunks.length
        assert.deepStrictEqual(listener.rest().lines, [])
        yield* control({ do: "release" })
        assert.strictEqual((yield* listener.next(50)).length, 50)
        assert.strictEqual(listener.chunks.length, before + 1)
      })
    )
  )

  it.live("answers with an error of the server's, then well again", () =>
    Effect.gen(function* () {
      const { control, requests, url } = yield* manual()
      yield* control({ do: "answer", status: 500, on: "transactions" })
      yield* control({ do: "answer", status: 500, on: "subscribe" })
      yield* control({ do: "answer", status: 502, body: "<html>", on: "subscribe" })
      const failed = yield* transact(url, insert("m1"))
      assert.strictEqual(failed.status, 500)
      assert.isString((JSON.parse(failed.body) as { results: [{ error: string }] }).results[0].error)
      const first = yield* ask(`${url}/v1/subscriptions`, { json: SELECT })
      assert.deepStrictEqual([first.status, JSON.parse(first.body)], [500, { error: "database is locked" }])
      const second = yield* ask(`${url}/v1/subscriptions`, { json: SELECT })
      assert.deepStrictEqual([second.status, second.body], [502, "<html>"])
      assert.strictEqual((yield* transact(url, insert("m1"))).status, 200)
      yield* control({ do: "answer", status: 500 })
      yield* control({ do: "behave" })
      assert.strictEqual((yield* transact(url, insert("m2"))).status, 200)
      assert.deepStrictEqual(
        requests().map(({ endpoint, status }) => [endpoint, status()]),
        [
          ["transactions", 500],
          ["subscribe", 500],
          ["subscribe", 502],
          ["transactions", 200],
          ["transactions", 200]
        ]
      )
    })
  )

  it.live("does not answer at all, until it stops", () =>
    Effect.gen(function* () {
      const { control, requests, url, watch } = yield* manual()
      yield* control({ do: "hang" })
      const hanging = yield* Effect.forkChild(lost(`${url}/v1/queries`, { json: "SELECT 1" }))
      yield* watch.until("the request", () => requests().length === 1)
      assert.strictEqual((yield* ask(`${url}/v1/queries`, { json: "SELECT 1" })).status, 200)
      assert.strictEqual(requests()[0]?.status(), 0)
      yield* control({ do: "stop" })
      assert.strictEqual(yield* Fiber.join(hanging), "ECONNRESET")
    })
  )

  it.live("answers late", () =>
    Effect.gen(function* () {
      const { control, url } = yield* manual()
      yield* control({ do: "slow", ms: 40, on: "queries" })
      const began = performance.now()
      assert.strictEqual((yield* ask(`${url}/v1/queries`, { json: "SELECT 1" })).status, 200)
      assert.isAtLeast(performance.now() - began, 39)
    })
  )

  it.live("loses a request, or only its answer", () =>
    Effect.gen(function* () {
      const { control, url } = yield* manual()
      const sent = (id: string) => lost(`${url}/v1/transactions`, { json: [insert(id)] })
      yield* control({ do: "lose-request" })
      assert.strictEqual(yield* sent("m1"), "ECONNRESET")
      yield* control({ do: "lose-answer" })
      assert.strictEqual(yield* sent("m2"), "ECONNRESET")
      const { body } = yield* ask(`${url}/v1/queries`, { json: "SELECT id FROM backends" })
      assert.include(body, '{"row":[1,["m2"]]}')
      assert.notInclude(body, "m1")
    })
  )

  it.live("stops, and starts again on its port", () =>
    Effect.gen(function* () {
      const { control, url } = yield* manual()
      yield* transact(url, insert("m1"))
      yield* control({ do: "stop" })
      assert.strictEqual(yield* lost(`${url}/v1/queries`, { json: "SELECT 1" }), "ECONNREFUSED")
      yield* control({ do: "start" })
      const { body } = yield* ask(`${url}/v1/queries`, { json: "SELECT id FROM backends" })
      assert.include(body, '{"row":[1,["m1"]]}')
    })
  )

  it.live("lets go a client that does not read, without an error line", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const { subscriptions, url, watch } = yield* manual({ tickMs: 0, ringLines: 20 })
        const large = "x".repeat(1 << 20)
        const slow = yield* subscribe(url, SELECT)
        yield* slow.snapshot
        slow.response.pause()
        let sent = 0
        while (subscriptions()[0]?.listeners === 1 && sent < 200) yield* transact(url, insert(`m${++sent}`, large))
        assert.isBelow(sent, 200)
        slow.response.resume()
        assert.strictEqual(yield* slow.ended, "eof")
        const { lines, partial } = slow.rest()
        assert.strictEqual(partial, "")
        assert.isAtLeast(lines.length, 20)
        assert.isBelow(lines.length, sent)
        assert.isTrue(lines.every((line) => typeof line === "object" && line !== null && "change" in line))
        yield* watch.until("no listener", () => subscriptions()[0]?.listeners === 0)
      })
    )
  )
})
