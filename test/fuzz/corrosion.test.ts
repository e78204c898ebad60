import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type { Answer } from "../../layers/corrosion/Agent.ts"
import { make as makeLines } from "../../layers/corrosion/Lines.ts"
import { parse, type QueryEvent } from "../../layers/corrosion/QueryEvent.ts"
import { readLines } from "../../layers/corrosion/readLines.ts"
import * as RowTable from "../../layers/corrosion/RowTable.ts"
import { initial, step } from "../../layers/corrosion/Subscription.ts"
import { beginnings, fuzzRounds, mutants, numbers } from "../support/mutants.ts"

const columns = ["id", "app", "port"]
const body = Buffer.from(
  [
    `{"columns":${JSON.stringify(columns)}}`,
    `{"row":[1,["näh","shop",80]]}`,
    `{"row":[2,["b \\"quoted\\" \\u00e9",null,2.5e3]]}`,
    `{"eoq":{"time":8e-8,"change_id":7}}`,
    `{"change":["insert",3,["c","shop",81],8]}`,
    `{"change":["update",1,["näh","other",[1,2]],9]}`,
    `{"change":["delete",2,["b",null,0],10]}`,
    `{"error":"gone"}`,
    `{"of a later version":{"a":[1,2]}}`,
    ""
  ].join("\n")
)

const inParts = (parts: ReadonlyArray<Buffer>): Answer => {
  let next = 0
  let given = true
  return {
    status: 200,
    header: () => undefined,
    read: () => {
      if (given) return null
      given = true
      return parts[next++] ?? null
    },
    more: Effect.sync(() => {
      given = false
      return next < parts.length
    })
  }
}

/** What the lines say, and whether the last one was whole. */
const eventsOf = (parts: ReadonlyArray<Buffer>) =>
  Effect.gen(function* () {
    const events: Array<QueryEvent | undefined> = []
    const ended = yield* readLines(inParts(parts), (line) => events.push(parse(line)) > 0).pipe(
      Effect.match({ onFailure: ({ kind }) => kind, onSuccess: () => "whole" as const })
    )
    return { events, ended }
  })

/** Does with events what a subscription and its table do. */
const follow = (events: ReadonlyArray<QueryEvent | undefined>): void => {
  const table = RowTable.make(columns)
  let snapshot = table.collect()
  let state = initial
  for (const event of events) {
    state = step(state, { _tag: "Line", event }).state
    if (event?._tag === "Row") snapshot.add(event.rowid, event.cells)
    if (event?._tag === "Eoq") {
      snapshot.swap()
      snapshot = table.collect()
    }
    if (event?._tag === "Change" && event.kind === "put") table.put(event.rowid, event.cells)
    if (event?._tag === "Change" && event.kind === "delete") table.remove(event.rowid)
  }
  assert.isAtMost(table.size(), events.length)
}

describe("an answer of an agent", () => {
  it.effect("is the same wherever it is split", () =>
    Effect.gen(function* () {
      const { events: whole } = yield* eventsOf([body])
      assert.notInclude(whole, undefined)
      for (let at = 0; at <= body.length; at++) {
        const { ended, events } = yield* eventsOf([body.subarray(0, at), body.subarray(at)])
        assert.deepStrictEqual(events, whole)
        assert.strictEqual(ended, "whole")
      }
    })
  )

  it.effect("is a beginning of itself wherever it is cut, and says that it was", () =>
    Effect.gen(function* () {
      const { events: whole } = yield* eventsOf([body])
      for (const part of beginnings(body)) {
        const { ended, events } = yield* eventsOf([part])
        assert.deepStrictEqual(events, whole.slice(0, events.length))
        assert.strictEqual(ended, part.length === 0 || part.at(-1) === 0x0a ? "whole" : "unreachable")
      }
    })
  )

  it.effect("that is nonsense does no harm to a subscription or its table", () =>
    Effect.gen(function* () {
      let good = 0
      for (const mutant of mutants(body, 5_000)) {
        const { events } = yield* eventsOf([mutant])
        good += events.filter((event) => event !== undefined).length
        follow(events)
      }
      assert.isAbove(good, 10_000 * fuzzRounds)
    })
  )

  it("of lines without end is kept in a bounded place", () => {
    const lines = makeLines(1_000)
    const below = numbers(2)
    const long = Buffer.from(`{"row":[1,["${"x".repeat(100_000)}`)
    let kept = 0
    for (let round = 0; round < 200; round++) {
      const [mutant = long] = mutants(long, 1, round)
      for (let at = 0; at < mutant.length;) {
        const size = 1 + below(9_000)
        for (const line of lines.push(mutant.subarray(at, at + size))) {
          kept = Math.max(kept, typeof line === "string" ? line.length : line.head.length + line.tail.length)
          parse(line)
        }
        at += size
      }
    }
    assert.isAtMost(kept, 2_200)
  })
})
