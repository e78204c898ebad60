import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Redacted from "effect/Redacted"
import * as Scope from "effect/Scope"
import type { CorrosionOptions } from "../../layers/corrosion/options.ts"
import { decodeBackend } from "../../src/domain/Backend.ts"
import type { FakeAgent } from "../support/corrosion/FakeAgent.ts"
import { eventually } from "../support/Watch.ts"
import {
  atAgent,
  drain,
  fake,
  follow,
  type Followed,
  nameOf,
  optionsFor,
  put,
  remove,
  schema,
  summary,
  write
} from "./rig.ts"

const countOf = (agent: FakeAgent, endpoint: "subscribe" | "resume" | "queries"): number =>
  agent.requests().filter((seen) => seen.endpoint === endpoint).length

/** Both tables are followed by subscriptions that have nothing left to say. */
const subscribed = (agent: FakeAgent): Effect.Effect<unknown> =>
  eventually("two subscriptions that are listened to", () => {
    const listeners = agent.subscriptions().map((each) => each.listeners)
    return listeners.length === 2 && listeners.every((count) => count > 0)
  })

/** An agent with two rows, and a source that has them. */
const started = Effect.fnUntraced(function* (options: Partial<CorrosionOptions> = {}, tickMs = 5) {
  const agent = yield* fake({ tickMs })
  yield* write(agent, put("a"), put("b"))
  const followed = yield* follow(optionsFor(agent, options))
  yield* followed.untilRows("a 1", "b 1")
  yield* subscribed(agent)
  return { agent, followed }
})

const lostOf = (followed: Followed) =>
  followed.events().flatMap((event) => (event._tag === "Lost" ? [event.error] : []))

const always = 1_000_000

describe("the Corrosion source", () => {
  it.live("tells the rows as they are and as they change (T1)", () =>
    Effect.gen(function* () {
      const { agent, followed } = yield* started()
      yield* write(agent, put("b", 7), put("c"), remove("a"))
      yield* followed.untilRows("b 7", "c 1")
      assert.deepStrictEqual(summary(followed.rows()), yield* atAgent(agent))
      yield* write(agent, remove("b"), remove("c"))
      yield* followed.untilRows()
      assert.deepStrictEqual([countOf(agent, "subscribe"), countOf(agent, "resume")], [2, 0])
    })
  )

  it.live("has the same object for a row that has not changed, over a new snapshot too", () =>
    Effect.gen(function* () {
      const { agent, followed } = yield* started()
      const a = followed.rows().find(({ id }) => id === "a")
      yield* write(agent, put("b", 2))
      yield* followed.untilRows("a 1", "b 2")
      assert.strictEqual(
        followed.rows().find(({ id }) => id === "a"),
        a
      )
      yield* agent.control({ do: "restart", crash: true })
      yield* subscribed(agent)
      yield* write(agent, put("b", 3))
      yield* followed.untilRows("a 1", "b 3")
      assert.strictEqual(
        followed.rows().find(({ id }) => id === "a"),
        a
      )
    })
  )

  it.live("shares its subscriptions with every other proxy at the agent, and leaves them with its scope", () =>
    Effect.gen(function* () {
      const { agent } = yield* started()
      yield* Effect.scoped(
        Effect.gen(function* () {
          const other = yield* follow(optionsFor(agent))
          yield* other.untilRows("a 1", "b 1")
          yield* eventually("two listeners each", () => agent.subscriptions().every(({ listeners }) => listeners === 2))
          assert.strictEqual(agent.subscriptions().length, 2)
        })
      )
      yield* eventually("one listener each", () => agent.subscriptions().every(({ listeners }) => listeners === 1))
    })
  )

  it.live("tells a burst as one event", () =>
    Effect.gen(function* () {
      const { agent, followed } = yield* started({ times: { coalesceMs: 100 } })
      const before = followed.events().length
      yield* agent.control({ do: "hold" })
      const names = Array.from({ length: 300 }, (_, index) => `n${String(index).padStart(3, "0")}`)
      for (const name of names) yield* write(agent, put(name))
      yield* agent.control({ do: "tick" })
      yield* agent.control({ do: "release" })
      yield* followed.untilRows("a 1", "b 1", ...names.map((name) => `${name} 1`))
      assert.deepStrictEqual(followed.events().slice(before).map(nameOf), ["rows 302"])
    })
  )

  it.live("tells what a constant stream of changes has come to, while it goes on", () =>
    Effect.gen(function* () {
      const { agent, followed } = yield* started({ times: { coalesceMs: 20 } }, 1)
      let weight = 1
      yield* Effect.forkScoped(Effect.forever(Effect.suspend(() => write(agent, put("a", ++weight)))))
      const seen = new Set<unknown>()
      yield* followed.until("five weights", () => {
        seen.add(followed.rows().find(({ id }) => id === "a")?.["weight"])
        return seen.size >= 5
      })
      assert.isAbove(weight, 5)
    })
  )

  it.live("tells on its own what the companion table says (D0)", () =>
    Effect.gen(function* () {
      const { agent, followed } = yield* started()
      assert.deepStrictEqual(followed.states(), [])
      yield* write(agent, drain("b"))
      yield* followed.until("the drain", () =>
        followed.states()?.some(({ draining, id }) => id === "b" && draining === 1)
      )
      assert.deepStrictEqual(summary(followed.rows()), ["a 1", "b 1"])
    })
  )

  it.live("has the companion's rows with the first event", () =>
    Effect.gen(function* () {
      const agent = yield* fake()
      yield* write(agent, put("a"), drain("a"))
      const followed = yield* follow(optionsFor(agent))
      yield* followed.untilRows("a 1")
      const [first] = followed.events()
      assert.deepStrictEqual(first?._tag === "Rows" ? first.states?.map(({ id }) => id) : undefined, ["a"])
    })
  )

  it.live("does without a companion table, and takes it when it comes", () =>
    Effect.gen(function* () {
      const [withoutIt = ""] = schema.split("CREATE TABLE IF NOT EXISTS edgeproxy")
      const before = yield* Scope.make()
      const agent = yield* fake({ schema: withoutIt }).pipe(Scope.provide(before))
      yield* write(agent, put("a"))
      const followed = yield* follow(optionsFor(agent))
      yield* followed.untilRows("a 1")
      assert.isUndefined(followed.states())
      yield* Scope.close(before, Exit.void)
      const after = yield* fake({ port: agent.port })
      yield* write(after, put("a", 2), drain("a"))
      yield* followed.until("the drain", () => followed.states()?.some(({ draining }) => draining === 1))
      yield* followed.untilRows("a 2")
    })
  )
})

describe("a subscription that ends", () => {
  const ways: ReadonlyArray<readonly [string, Parameters<FakeAgent["control"]>[0], expected: "resume" | "subscribe"]> =
    [
      ["with the end of its body", { do: "end", how: "eof" }, "resume"],
      ["with its connection", { do: "end", how: "close" }, "resume"],
      ["with a reset", { do: "end", how: "reset" }, "resume"],
      ["in the middle of a line", { do: "end", how: "partial" }, "resume"],
      ["in the middle of a line, with its connection", { do: "end", how: "partial-close" }, "resume"],
      ["with an error", { do: "end", how: "error", message: "exceeded events buffer" }, "resume"],
      ["with its agent, which comes back", { do: "restart" }, "resume"],
      ["with its agent, which has crashed", { do: "restart", crash: true }, "subscribe"],
      ["because it is dropped", { do: "drop" }, "subscribe"]
    ]
  for (const [how, command, expected] of ways) {
    it.live(`${how}: nothing is missed`, () =>
      Effect.gen(function* () {
        const { agent, followed } = yield* started()
        yield* write(agent, put("b", 2), put("c"))
        yield* followed.untilRows("a 1", "b 2", "c 1")
        const before = countOf(agent, expected)
        yield* agent.control(command)
        yield* write(agent, remove("a"), put("b", 3))
        yield* followed.untilRows("b 3", "c 1")
        yield* write(agent, put("d"))
        yield* followed.untilRows("b 3", "c 1", "d 1")
        assert.isAbove(countOf(agent, expected), before)
        assert.deepStrictEqual(summary(followed.rows()), yield* atAgent(agent))
        // Rows were served all the while.
        assert.isEmpty(followed.events().filter((event) => event._tag === "Rows" && event.rows.length === 0))
      })
    )
  }

  it.live("too long ago for the agent to know what was missed: all is read again, and what is gone is gone", () =>
    Effect.gen(function* () {
      const { agent, followed } = yield* started({ times: { firstRetryMs: 200, maxRetryMs: 200 } })
      yield* write(agent, put("b", 2))
      yield* followed.untilRows("a 1", "b 2")
      yield* agent.control({ do: "end", how: "eof" })
      yield* write(agent, remove("a"), put("b", 3))
      yield* agent.control({ do: "tick" })
      yield* agent.control({ do: "prune", keep: 1 })
      yield* followed.untilRows("b 3")
      assert.isAbove(countOf(agent, "resume"), 0)
      assert.isAbove(countOf(agent, "subscribe"), 2)
    })
  )

  it.live("and another in its place, without what was missed meanwhile: what is gone is gone", () =>
    Effect.gen(function* () {
      const { agent, followed } = yield* started({}, Number.POSITIVE_INFINITY)
      // Without a tick nobody is told of these.
      yield* write(agent, remove("a"), put("b", 3))
      yield* agent.control({ do: "drop" })
      yield* followed.untilRows("b 3")
    })
  )
})

describe("a subscription that goes wrong", () => {
  for (const command of ["gap", "repeat", "regress"] as const) {
    it.live(`by a ${command}: the rows are right afterwards`, () =>
      Effect.gen(function* () {
        const { agent, followed } = yield* started()
        yield* write(agent, put("a", 2))
        yield* followed.untilRows("a 2", "b 1")
        yield* write(agent, put("b", 2))
        yield* followed.untilRows("a 2", "b 2")
        yield* agent.control({ do: command })
        yield* write(agent, put("a", 3))
        yield* agent.control({ do: "tick" })
        yield* write(agent, put("b", 3))
        yield* followed.untilRows("a 3", "b 3")
      })
    )
  }

  it.live("by another id: the rows come anew", () =>
    Effect.gen(function* () {
      const { agent, followed } = yield* started()
      yield* write(agent, put("a", 2))
      yield* followed.untilRows("a 2", "b 1")
      yield* agent.control({ do: "rename" })
      yield* agent.control({ do: "end", how: "reset" })
      yield* write(agent, put("a", 3))
      yield* followed.untilRows("a 3", "b 1")
    })
  )

  for (const how of ["eof", "close", "reset", "partial", "partial-close", "error"] as const) {
    it.live(`before the end of its rows (${how}): no row is used before the end of the next`, () =>
      Effect.gen(function* () {
        const agent = yield* fake()
        yield* write(agent, put("a"), put("b"))
        yield* agent.control({ do: "cut-before-eoq", rows: 1, how, on: "subscribe", times: 2 })
        const followed = yield* follow(optionsFor(agent))
        yield* followed.untilRows("a 1", "b 1")
        assert.isEmpty(followed.events().filter((event) => event._tag === "Rows" && event.rows.length < 2))
        yield* subscribed(agent)
        yield* write(agent, put("a", 2))
        yield* followed.untilRows("a 2", "b 1")
      })
    )
  }

  for (const bytes of [1, 3, 100]) {
    it.live(`not when its bytes come ${bytes} at a time`, () =>
      Effect.gen(function* () {
        const agent = yield* fake()
        yield* agent.control({ do: "pieces", bytes })
        yield* write(agent, put("é界😀"))
        const followed = yield* follow(optionsFor(agent))
        yield* followed.untilRows("é界😀 1")
        yield* write(agent, put("é界😀", 2), put("ü"))
        yield* followed.untilRows("é界😀 2", "ü 1")
      })
    )
  }

  it.live("not when it says nothing for a long time", () =>
    Effect.gen(function* () {
      const { agent, followed } = yield* started({ pollMs: 20 })
      yield* followed.until(
        "five signs of life",
        () => followed.events().filter(({ _tag }) => _tag === "Unchanged").length > 5
      )
      assert.deepStrictEqual([countOf(agent, "subscribe"), countOf(agent, "resume")], [2, 0])
      yield* write(agent, put("a", 2))
      yield* followed.untilRows("a 2", "b 1")
    })
  )

  it.live("by silence, when the agent does not answer otherwise either", () =>
    Effect.gen(function* () {
      const { agent, followed } = yield* started({ pollMs: 30, times: { answerMs: 30 } })
      yield* write(agent, put("a", 2))
      yield* followed.untilRows("a 2", "b 1")
      yield* agent.control({ do: "hold" })
      yield* agent.control({ do: "hang", on: "queries", times: 8 })
      yield* eventually("another attempt", () => countOf(agent, "resume") > 0)
      yield* agent.control({ do: "behave" })
      yield* agent.control({ do: "release" })
      yield* write(agent, put("a", 3))
      yield* followed.untilRows("a 3", "b 1")
    })
  )

  it.live("by missing a change that nothing follows: the cross-check finds it", () =>
    Effect.gen(function* () {
      const { agent, followed } = yield* started({ times: { crossCheckMs: 30, differenceMs: 30 } })
      yield* agent.control({ do: "gap" })
      yield* write(agent, put("a", 5))
      yield* followed.untilRows("a 5", "b 1")
      yield* subscribed(agent)
      yield* agent.control({ do: "gap" })
      yield* write(agent, remove("a"))
      yield* followed.untilRows("b 1")
      yield* subscribed(agent)
      yield* agent.control({ do: "gap" })
      yield* write(agent, put("z"))
      yield* followed.untilRows("b 1", "z 1")
    })
  )

  it.live("not by a cross-check of rows without names, or with names that begin alike", () =>
    Effect.gen(function* () {
      const agent = yield* fake()
      const named = (id: unknown) => ["INSERT INTO backends (id, port) VALUES (?, ?)", [id, 1]] as const
      const long = "x".repeat(300)
      yield* write(agent, put("a"), named([1]), named([2]), named(`${long}1`), named(`${long}2`))
      const followed = yield* follow(optionsFor(agent, { times: { crossCheckMs: 5, differenceMs: 5 } }))
      yield* followed.until("the rows", () => followed.rows().length === 5)
      const before = countOf(agent, "queries")
      yield* eventually("many looks", () => countOf(agent, "queries") > before + 60)
      assert.deepStrictEqual([countOf(agent, "subscribe"), countOf(agent, "resume")], [2, 0])
    })
  )

  it.live("not by a cross-check amid constant changes", () =>
    Effect.gen(function* () {
      const { agent, followed } = yield* started({ times: { crossCheckMs: 5, differenceMs: 60 } }, 20)
      const before = countOf(agent, "queries")
      let weight = 1
      yield* Effect.forkScoped(
        Effect.forever(Effect.suspend(() => Effect.delay(write(agent, put("a", ++weight), put("b", weight)), 10)))
      )
      yield* eventually("twenty looks", () => countOf(agent, "queries") > before + 60)
      assert.deepStrictEqual([countOf(agent, "subscribe"), countOf(agent, "resume")], [2, 0])
      assert.isAbove(followed.events().length, 3)
    })
  )
})

describe("without a subscription", () => {
  it.live("the tables are read every so often, until there is one", () =>
    Effect.gen(function* () {
      const agent = yield* fake()
      yield* write(agent, put("a"))
      yield* agent.control({ do: "answer", status: 503, on: "subscribe", times: always })
      const followed = yield* follow(optionsFor(agent, { pollMs: 20 }))
      yield* followed.untilRows("a 1")
      const [a] = followed.rows()
      yield* write(agent, put("b"))
      yield* followed.untilRows("a 1", "b 1")
      assert.strictEqual(followed.rows()[0], a)
      yield* write(agent, remove("b"))
      yield* followed.untilRows("a 1")
      yield* followed.until(
        "looks without news",
        () => followed.events().filter(({ _tag }) => _tag === "Unchanged").length > 3
      )
      assert.isEmpty(lostOf(followed))
      yield* agent.control({ do: "behave" })
      yield* subscribed(agent)
      yield* write(agent, put("a", 9))
      yield* followed.untilRows("a 9")
      assert.isEmpty(agent.requests().filter(({ endpoint }) => endpoint === "resume"))
    })
  )

  it.live("rows that were read take the place of those of a subscription that is gone on with later", () =>
    Effect.gen(function* () {
      const { agent, followed } = yield* started({ pollMs: 20 })
      yield* write(agent, put("a", 2))
      yield* followed.untilRows("a 2", "b 1")
      yield* agent.control({ do: "answer", status: 500, on: "resume", times: always })
      yield* agent.control({ do: "answer", status: 500, on: "subscribe", times: always })
      yield* agent.control({ do: "end", how: "reset" })
      yield* write(agent, remove("a"), put("c"))
      yield* followed.untilRows("b 1", "c 1")
      yield* agent.control({ do: "behave" })
      yield* subscribed(agent)
      // A row that nothing is told of any more must be there, under the subscription's own row ids.
      yield* write(agent, put("a", 4))
      yield* followed.untilRows("a 4", "b 1", "c 1")
      assert.deepStrictEqual(summary(followed.rows()), yield* atAgent(agent))
    })
  )

  it.live("by wish: none is asked for", () =>
    Effect.gen(function* () {
      const agent = yield* fake()
      yield* write(agent, put("a"))
      const followed = yield* follow(optionsFor(agent, { pollMs: 20, mode: "poll" }))
      yield* followed.untilRows("a 1")
      yield* write(agent, put("a", 2))
      yield* followed.untilRows("a 2")
      assert.strictEqual(countOf(agent, "subscribe"), 0)
    })
  )

  it.live("of a table that was made through the API, which agents do not replicate (T4)", () =>
    Effect.gen(function* () {
      const agent = yield* fake({ schema: "" })
      yield* write(agent, [
        "CREATE TABLE backends (id TEXT PRIMARY KEY, app TEXT, region TEXT, wg_ip TEXT, port INTEGER, weight INTEGER)",
        []
      ])
      yield* write(agent, ["INSERT INTO backends VALUES ('a', '', 'eu', '10.0.0.1', 80, 1)", []])
      const followed = yield* follow(optionsFor(agent, { pollMs: 20 }))
      yield* followed.untilRows("a 1")
      assert.deepStrictEqual(
        followed.rows().map((row) => decodeBackend(row)._tag),
        ["Backend"]
      )
    })
  )

  for (const how of ["eof", "error"] as const) {
    it.live(`an answer that ends before its rows (${how}) is none`, () =>
      Effect.gen(function* () {
        const agent = yield* fake()
        yield* write(agent, put("a"), put("b"))
        const followed = yield* follow(optionsFor(agent, { pollMs: 20, mode: "poll" }))
        yield* followed.untilRows("a 1", "b 1")
        yield* agent.control({ do: "cut-before-eoq", rows: 1, how, on: "queries", times: always })
        yield* followed.until("the loss", () => lostOf(followed).length > 2)
        assert.deepStrictEqual(summary(followed.rows()), ["a 1", "b 1"])
      })
    )
  }
})

describe("an agent that can't be had", () => {
  it.live("is an event, and its return is too", () =>
    Effect.gen(function* () {
      const { agent, followed } = yield* started({ pollMs: 20 })
      yield* agent.control({ do: "stop" })
      yield* followed.until("the loss", () => lostOf(followed)[0])
      const before = followed.events().length
      yield* agent.control({ do: "start" })
      yield* followed.until("the return", () =>
        followed
          .events()
          .slice(before)
          .some(({ _tag }) => _tag !== "Lost")
      )
      yield* write(agent, put("a", 2))
      yield* followed.untilRows("a 2", "b 1")
      for (const { reason } of lostOf(followed)) assert.strictEqual(reason, "unreachable")
      assert.include(lostOf(followed)[0]?.message ?? "", agent.url)
    })
  )

  it.live("at the start is one that comes later", () =>
    Effect.gen(function* () {
      const agent = yield* fake()
      yield* write(agent, put("a"))
      yield* agent.control({ do: "stop" })
      const followed = yield* follow(optionsFor(agent, { pollMs: 20 }))
      yield* followed.until("the loss", () => lostOf(followed)[0])
      assert.isEmpty(followed.rows())
      yield* agent.control({ do: "start" })
      yield* followed.untilRows("a 1")
    })
  )

  const kinds: ReadonlyArray<readonly [string, Parameters<FakeAgent["control"]>[0], reason: string]> = [
    ["it does not answer", { do: "hang", times: always }, "unreachable"],
    ["it resets every connection", { do: "lose-request", times: always }, "unreachable"],
    ["it says 503", { do: "answer", status: 503, times: always }, "unreachable"],
    ["it says 401", { do: "answer", status: 401, times: always }, "unreadable"],
    ["it says 404", { do: "answer", status: 404, times: always }, "unreadable"],
    ["it says 302", { do: "answer", status: 302, times: always }, "corrupt"],
    ["it answers with something else", { do: "answer", status: 200, body: "<html>\n", times: always }, "corrupt"],
    ["it answers with nothing", { do: "answer", status: 200, body: "", times: always }, "unreachable"]
  ]
  for (const [how, command, reason] of kinds) {
    it.live(`because ${how}`, () =>
      Effect.gen(function* () {
        const agent = yield* fake()
        yield* agent.control(command)
        const followed = yield* follow(optionsFor(agent, { pollMs: 20, times: { headMs: 50, answerMs: 50 } }))
        yield* followed.until("the loss", () => lostOf(followed).length > 1)
        assert.deepStrictEqual(new Set(lostOf(followed).map((error) => error.reason)), new Set([reason]))
        yield* agent.control({ do: "behave" })
        yield* write(agent, put("a"))
        yield* followed.untilRows("a 1")
      })
    )
  }

  it.live("for want of the right token, which is told to nobody", () =>
    Effect.gen(function* () {
      const agent = yield* fake({ token: "open sesame" })
      const wrong = yield* follow(optionsFor(agent, { pollMs: 20, token: Redacted.make("hunter2") }))
      const [error] = yield* wrong.until("the loss", () => lostOf(wrong).length > 0 && lostOf(wrong))
      assert.strictEqual(error?.reason, "unreadable")
      assert.notInclude(JSON.stringify(wrong.events()) + String(error), "hunter2")
      const right = yield* follow(optionsFor(agent, { token: Redacted.make("open sesame") }))
      yield* right.untilRows()
    })
  )

  it.live("for a token that no header can have, which is told to nobody", () =>
    Effect.gen(function* () {
      const agent = yield* fake()
      const followed = yield* follow(optionsFor(agent, { pollMs: 20, token: Redacted.make("hunter2\nx: y") }))
      const [error] = yield* followed.until("the loss", () => lostOf(followed).length > 0 && lostOf(followed))
      assert.strictEqual(error?.reason, "unreadable")
      assert.notInclude(JSON.stringify(followed.events()) + String(error), "hunter2")
    })
  )

  const schemas: ReadonlyArray<readonly [string, string, detail: string]> = [
    ["without the table", "", "no such table: backends"],
    [
      "whose table is another one",
      "CREATE TABLE backends (id TEXT NOT NULL PRIMARY KEY, region TEXT, port INTEGER);",
      "lacks wg_ip"
    ]
  ]
  for (const [what, text, detail] of schemas) {
    it.live(`${what}`, () =>
      Effect.gen(function* () {
        const agent = yield* fake({ schema: text })
        const followed = yield* follow(optionsFor(agent, { pollMs: 20 }))
        const [error] = yield* followed.until("the loss", () => lostOf(followed).length > 0 && lostOf(followed))
        assert.strictEqual(error?.reason, "schema")
        assert.include(error?.detail, detail)
      })
    )
  }
})

describe("a table that others write to (R9)", () => {
  it.live("may have rows of megabytes: they cost themselves only", () =>
    Effect.gen(function* () {
      const agent = yield* fake()
      const huge = (id: string) =>
        [
          "INSERT INTO backends (id, app, region, wg_ip, port) VALUES (?, ?, 'eu', '10.0.0.1', 80)",
          [id, "x".repeat(3_000_000)]
        ] as const
      yield* write(agent, put("a"), huge("huge"))
      const followed = yield* follow(optionsFor(agent))
      const verdicts = () => followed.rows().map((row) => `${String(row["id"])} ${decodeBackend(row)._tag}`)
      yield* followed.until("both", () => verdicts().length === 2)
      assert.deepStrictEqual(verdicts(), ["a Backend", "huge Bad"])
      yield* subscribed(agent)
      yield* write(agent, huge("later"), put("b"))
      yield* followed.until("all", () => verdicts().length === 4)
      assert.deepStrictEqual(verdicts().sort(), ["a Backend", "b Backend", "huge Bad", "later Bad"])
      yield* write(agent, remove("later"), remove("huge"), put("b", 2))
      yield* followed.untilRows("a 1", "b 2")
      assert.deepStrictEqual([countOf(agent, "subscribe"), countOf(agent, "resume")], [2, 0])
    })
  )

  it.live("may hold anything that a cell can be", () =>
    Effect.gen(function* () {
      const agent = yield* fake()
      const odd = (id: unknown, port: unknown) =>
        ["INSERT INTO backends (id, region, wg_ip, port) VALUES (?, 'eu', '10.0.0.1', ?)", [id, port]] as const
      yield* write(
        agent,
        odd("good", 80),
        odd([1, 2], 80),
        odd("real", 1.5),
        odd("text", "x"),
        odd("blob", []),
        odd(7, 80)
      )
      const followed = yield* follow(optionsFor(agent))
      yield* followed.until("all", () => followed.rows().length === 6)
      const good = followed.rows().filter((row) => decodeBackend(row)._tag === "Backend")
      assert.deepStrictEqual(good.map(({ id }) => id).sort(), ["7", "good"])
    })
  )

  it.live("may lack the columns that are optional (T4)", () =>
    Effect.gen(function* () {
      const agent = yield* fake({
        schema: `CREATE TABLE backends (id TEXT NOT NULL PRIMARY KEY, App TEXT, REGION TEXT, wg_ip TEXT, port INTEGER,
          healthy INTEGER, weight INTEGER, soft_limit INTEGER, hard_limit INTEGER, deleted INTEGER DEFAULT 0);`
      })
      yield* write(agent, ["INSERT INTO backends (id, region, wg_ip, port) VALUES ('a', 'eu', '10.0.0.1', 80)", []])
      const followed = yield* follow(optionsFor(agent))
      yield* followed.until("the row", () => followed.rows().length === 1)
      assert.deepStrictEqual(
        followed.rows().map((row) => decodeBackend(row)._tag),
        ["Backend"]
      )
      yield* eventually("a subscription", () => agent.subscriptions().length === 1)
    })
  )
})
