import { assert, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import type { QueryEvent } from "../../layers/corrosion/QueryEvent.ts"
import {
  initial,
  requestOf,
  step,
  type SubscriptionCommand,
  type SubscriptionInput,
  type SubscriptionState
} from "../../layers/corrosion/Subscription.ts"
import { between, oneOf } from "../support/arbitraries.ts"

const opened = (id: string | undefined): SubscriptionInput => ({ _tag: "Opened", id })
const line = (event: QueryEvent | undefined): SubscriptionInput => ({ _tag: "Line", event })
const columns = line({ _tag: "Columns", columns: ["id"] })
const row = (rowid: number, name = "m"): SubscriptionInput => line({ _tag: "Row", rowid, cells: [name] })
const eoq = (changeId: number | undefined): SubscriptionInput => line({ _tag: "Eoq", changeId })
const change = (changeId: number, kind: "put" | "delete" = "put", rowid = 1, name = "m"): SubscriptionInput =>
  line({ _tag: "Change", kind, rowid, cells: [name], changeId })
const error = line({ _tag: "Error", error: "gone" })
const ended: SubscriptionInput = { _tag: "Ended" }
const refused = (status: number): SubscriptionInput => ({ _tag: "Refused", status })

/** What the last input leads to: the command, and what would be asked for next. */
const after = (...inputs: ReadonlyArray<SubscriptionInput>): string => {
  let state = initial
  let command: SubscriptionCommand = { _tag: "None" }
  for (const input of inputs) ({ command, state } = step(state, input))
  const request = requestOf(state)
  const next = request._tag === "Resume" ? `${request.id} from ${request.from}` : "from the beginning"
  return command._tag === "Reconnect" ? `${command.pace}, ${next}` : `${command._tag}, ${state.phase}`
}

const live = [opened("s"), columns, row(1), eoq(4), change(5)]

describe("a subscription", () => {
  const cases: ReadonlyArray<readonly [string, ReadonlyArray<SubscriptionInput>, string]> = [
    ["rows, their end, and changes", live, "Put, live"],
    ["a deletion", [...live, change(6, "delete")], "Delete, live"],
    ["what it does not know", [...live, line({ _tag: "Other" })], "None, live"],
    ["a whole new snapshot where only changes were due", [...live, ended, opened("s"), columns], "Begin, snapshot"],
    ["... which is taken at its end", [...live, ended, opened("s"), columns, row(2), eoq(0)], "Swap, live"],
    ["... but goes on where it was, if cut before", [...live, ended, opened("s"), columns, ended], "backoff, s from 5"],
    ["the end of the stream", [...live, ended], "backoff, s from 5"],
    ["the end before the end of the rows", [opened("s"), columns, row(1), ended], "backoff, from the beginning"],
    ["no connection", [...live, ended, ended], "backoff, s from 5"],
    ["changes that were missed", [...live, ended, opened("s"), change(6)], "Put, live"],
    ["nothing missed", [...live, ended, opened("s")], "None, live"],
    ["a subscription that is gone", [...live, ended, refused(404)], "now, from the beginning"],
    ["one that can't be gone on with", [...live, ended, refused(400)], "now, from the beginning"],
    ["a table that is not there", [refused(400)], "slow, from the beginning"],
    ["another address", [refused(404)], "slow, from the beginning"],
    ["a wrong token", [...live, ended, refused(401)], "slow, s from 5"],
    ["an agent that can't for now", [...live, ended, refused(500)], "backoff, s from 5"],
    ["an overloaded agent", [refused(503)], "backoff, from the beginning"],
    ["too many questions", [refused(429)], "backoff, from the beginning"],
    ["changes that are no longer kept", [...live, ended, opened("s"), error], "now, from the beginning"],
    ["an error, resumed but some changes later", [...live, ended, opened("s"), change(6), error], "backoff, s from 6"],
    ["an error", [...live, error], "backoff, s from 5"],
    ["an error before the end of the rows", [opened("s"), columns, error], "backoff, from the beginning"],
    ["a gap", [...live, change(7)], "now, s from 5"],
    ["the same gap again", [...live, change(7), opened("s"), change(7)], "now, from the beginning"],
    ["another gap later", [...live, change(7), opened("s"), change(6), change(8)], "now, s from 6"],
    ["a change again", [...live, change(5)], "None, live"],
    ["a change from before", [...live, change(4)], "now, from the beginning"],
    ["an agent that counts anew", [...live, ended, opened("s"), change(1)], "now, from the beginning"],
    ["... up to where it was", [...live, ended, opened("s"), change(5)], "now, from the beginning"],
    ["another subscription, with rows", [...live, ended, opened("t"), columns, row(1), eoq(0)], "Swap, live"],
    ["another subscription, without", [...live, ended, opened("t"), change(6)], "now, from the beginning"],
    ["no id to go on with", [opened(undefined), columns, eoq(4), ended], "backoff, from the beginning"],
    ["a change amid the rows", [opened("s"), columns, change(1)], "backoff, from the beginning"],
    ["a row amid the changes", [...live, row(2)], "backoff, from the beginning"],
    ["an end of rows amid the changes", [...live, eoq(5)], "backoff, from the beginning"],
    ["rows without columns", [opened("s"), row(1)], "backoff, from the beginning"],
    ["an end of rows without a change id", [opened("s"), columns, eoq(undefined)], "backoff, from the beginning"],
    ["what is none of it", [...live, line(undefined)], "backoff, from the beginning"],
    ["a table that says something else", [...live, { _tag: "Distrusted" }], "now, from the beginning"]
  ]
  for (const [what, inputs, expected] of cases) it(`${what}`, () => assert.strictEqual(after(...inputs), expected))
})

type Rows = ReadonlyMap<number, string>

/** An agent with one subscription to one table. */
class ModelAgent {
  /** The table after each change there ever was; row ids are those of the subscription. */
  readonly history: Array<Rows> = [new Map()]
  id = 1
  /** The version of the table that the subscription began with: change n made version `base + n`. */
  base = 0
  /** Changes up to this one are forgotten. */
  pruned = 0
  /** What is on its way to the client. */
  sent: Array<SubscriptionInput> = []
  /** The last change that was put on its way. */
  upTo: number | undefined
  repeatable: SubscriptionInput | undefined

  get last(): number {
    return this.history.length - 1 - this.base
  }

  write(rowid: number, name: string): void {
    const rows = new Map(this.history.at(-1))
    if (name === "" && !rows.delete(rowid)) return
    if (name !== "") rows.set(rowid, name)
    this.history.push(rows)
    this.flush()
  }

  /** The change that made the version. */
  lineOf(changeId: number): SubscriptionInput {
    const before = this.history[this.base + changeId - 1] ?? new Map()
    const now = this.history[this.base + changeId] ?? new Map()
    for (const [rowid, name] of now) if (before.get(rowid) !== name) return change(changeId, "put", rowid, name)
    for (const [rowid, name] of before) if (!now.has(rowid)) return change(changeId, "delete", rowid, name)
    // Written as it was.
    const [first] = now
    return first === undefined ? change(changeId, "delete", 99) : change(changeId, "put", ...first)
  }

  flush(): void {
    if (this.upTo === undefined) return
    while (this.upTo < this.last) this.sent.push(this.lineOf(++this.upTo))
  }

  connect(state: SubscriptionState): void {
    const request = requestOf(state)
    this.repeatable = undefined
    this.sent = []
    this.upTo = undefined
    if (request._tag === "Create") {
      const rows = Array.from(this.history.at(-1) ?? [], ([rowid, name]) => row(rowid, name))
      this.sent.push(opened(String(this.id)), columns, ...rows, eoq(this.last))
      this.upTo = this.last
    } else if (request.id !== String(this.id)) this.sent.push(refused(404))
    else if (request.from < this.pruned) this.sent.push(opened(request.id), error, ended)
    else {
      this.sent.push(opened(request.id))
      this.upTo = Math.max(request.from, 0)
      this.flush()
    }
  }

  /** Started again after a crash: the table is there, the subscription is not. */
  crash(): void {
    this.id++
    this.base = this.history.length - 1
    this.pruned = 0
  }
}

class ModelClient {
  state = initial
  rows: Rows = new Map()
  collected: Map<number, string> = new Map()
  agent: ModelAgent

  constructor(agent: ModelAgent) {
    this.agent = agent
    agent.connect(this.state)
  }

  take(input: SubscriptionInput): void {
    const stepped = step(this.state, input)
    this.state = stepped.state
    const { command } = stepped
    const name = "cells" in command && !("_tag" in command.cells) ? String(command.cells[0]) : ""
    if (command._tag === "Begin") this.collected = new Map()
    else if (command._tag === "Add") this.collected.set(command.rowid, name)
    else if (command._tag === "Swap") this.rows = this.collected
    else if (command._tag === "Put") this.rows = new Map(this.rows).set(command.rowid, name)
    else if (command._tag === "Delete") {
      const rows = new Map(this.rows)
      rows.delete(command.rowid)
      this.rows = rows
    } else if (command._tag === "Reconnect") this.agent.connect(this.state)
  }

  deliver(): boolean {
    const input = this.agent.sent.shift()
    if (input === undefined) return false
    if (input._tag === "Line" && input.event?._tag === "Change") this.agent.repeatable = input
    this.take(input)
    return true
  }
}

const actions = Arbitrary.array(
  Arbitrary.all([
    oneOf([
      "deliver",
      "deliver",
      "deliver",
      "write",
      "write",
      "remove",
      "cut",
      "gap",
      "repeat",
      "crash",
      "prune",
      "nonsense",
      "distrust"
    ] as const),
    Arbitrary.schema(between(1, 4))
  ]),
  { maxLength: 60 }
)

describe("a client of a subscription", () => {
  it.prop(
    "never shows what was not in the table, nor what it was before, and has it all in the end",
    [actions],
    ([actions]) => {
      const agent = new ModelAgent()
      const client = new ModelClient(agent)
      let shown = 0
      let names = 0
      for (const [action, number] of actions) {
        if (action === "deliver") for (let count = 0; count < number; count++) client.deliver()
        else if (action === "write") agent.write(number, `n${++names}`)
        else if (action === "remove") agent.write(number, "")
        else if (action === "cut") client.take(ended)
        else if (action === "gap") {
          const at = agent.sent.findIndex((input) => input._tag === "Line" && input.event?._tag === "Change")
          if (at >= 0) agent.sent.splice(at, 1)
        } else if (action === "repeat" && agent.repeatable !== undefined && client.state.phase === "live") {
          client.take(agent.repeatable)
        } else if (action === "crash") {
          agent.crash()
          client.take(ended)
        } else if (action === "prune") agent.pruned = agent.last
        else if (action === "nonsense") client.take(line(undefined))
        else if (action === "distrust") client.take({ _tag: "Distrusted" })
        const version = agent.history.findIndex((rows, index) => index >= shown && sameRows(rows, client.rows))
        assert.isAtLeast(version, shown, `after ${action}: ${String(Array.from(client.rows))}`)
        shown = version
      }
      // Left alone it catches up; what was lost on the way shows with the next change.
      agent.write(5, "last")
      for (let count = 0; count < 1_000 && client.deliver(); count++);
      assert.deepStrictEqual(new Map(client.rows), new Map(agent.history.at(-1)))
      assert.strictEqual(client.state.phase, "live")
    }
  )
})

const sameRows = (a: Rows, b: Rows): boolean =>
  a.size === b.size && Array.from(a).every(([rowid, name]) => b.get(rowid) === name)
