import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import type { Agent, AgentRequest, Answer } from "./Agent.ts"
import { AgentError } from "./AgentError.ts"
import { hasMissed } from "./crossCheck.ts"
import { columnsOf, ping, post, refusal, selectOf, type TableQuery } from "./queries.ts"
import { parse } from "./QueryEvent.ts"
import { readLines } from "./readLines.ts"
import * as RowTable from "./RowTable.ts"
import * as Subscription from "./Subscription.ts"

/** How an attempt to follow a table has ended, and how soon another makes sense. */
export interface Ending {
  readonly pace: "now" | "backoff" | "slow"
  readonly error: AgentError
}

/** What the subscriber shares with those around it. */
export interface SubscriberContext {
  readonly agent: Agent
  readonly query: TableQuery
  /** After so much silence the agent is asked whether it is there. */
  readonly silenceMs: number
  /** The rows in use. */
  readonly table: () => RowTable.RowTable | undefined
  /** Uses these rows from now on. */
  readonly use: (table: RowTable.RowTable) => void
  /** The rows in use differ from before. */
  readonly changed: () => void
  /** The rows in use are still the agent's. */
  readonly confirmed: () => void
  /** From now on the rows in use are the agent's. */
  readonly wentLive: () => void
  /** Nothing comes, but it may yet. */
  readonly stalled: () => void
}

export interface Subscriber {
  readonly isLive: () => boolean
  /** The rows in use are no longer those that the subscription has told. */
  readonly distrust: () => void
  /** Subscribes, or goes on where the last attempt ended, until that ends. */
  readonly attempt: Effect.Effect<Ending>
}

// Asked again before a stream that has nothing to say is given up.
const SECOND_PING_MS = 1_000
// A cross-check reads the whole table: of a larger one it is rarer, so that it costs no more.
const CROSS_CHECK_ROWS = 20_000

const UUID = /^[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}$/i

/** It becomes part of a path: nothing but what agents send. */
const idOf = (answer: Answer): string | undefined => {
  const id = answer.header("corro-query-id")
  return id !== undefined && UUID.test(id) ? id : undefined
}

// Asking again does not help before somebody has done something.
const paceOf = ({ kind }: AgentError): Ending["pace"] =>
  kind === "denied" || kind === "schema" || kind === "rejected" ? "slow" : "backoff"

export const make = (context: SubscriberContext): Subscriber => {
  const { agent, query } = context
  let state = Subscription.initial
  let distrusted = Deferred.makeUnsafe<void>()
  let lines = 0

  const isLive = (): boolean => state.phase === "live"

  /** The rows that a subscription with these columns is about. */
  const tableFor = (columns: ReadonlyArray<string>): RowTable.RowTable => {
    const table = context.table()
    return table?.columns.join() === columns.join() ? table : RowTable.make(columns)
  }

  const connect = Effect.fnUntraced(function* () {
    const request = Subscription.requestOf(state)
    const before = context.table()
    const table = request._tag === "Create" || before === undefined ? tableFor(yield* columnsOf(agent, query)) : before
    const asked: AgentRequest =
      request._tag === "Create"
        ? post("/v1/subscriptions", { query: selectOf(query.table, table.columns) })
        : { method: "GET", path: `/v1/subscriptions/${request.id}?from=${request.from}` }
    return { table, answer: yield* agent.open(asked) }
  })

  /** Takes what comes; gives the command when it is to leave. */
  const take = (
    table: RowTable.RowTable,
    collected: { rows: RowTable.Snapshot | undefined },
    input: Subscription.SubscriptionInput
  ): Extract<Subscription.SubscriptionCommand, { readonly _tag: "Reconnect" }> | undefined => {
    const wasLive = isLive()
    const stepped = Subscription.step(state, input)
    state = stepped.state
    const { command } = stepped
    const strange = () => take(table, collected, { _tag: "Line", event: undefined })
    if (!wasLive && isLive() && command._tag === "None") {
      context.wentLive()
      context.confirmed()
    }
    switch (command._tag) {
      case "None":
        return undefined
      case "Begin":
        // Named as the schema spells them.
        if (command.columns.join().toLowerCase() !== table.columns.join()) return strange()
        collected.rows = table.collect()
        return undefined
      case "Add":
        return collected.rows?.add(command.rowid, command.cells) === true ? undefined : strange()
      case "Swap": {
        const differs = table !== context.table() || collected.rows?.differs() !== false
        collected.rows?.swap()
        collected.rows = undefined
        context.use(table)
        context.wentLive()
        if (differs) context.changed()
        else context.confirmed()
        return undefined
      }
      case "Put": {
        const differs = table.put(command.rowid, command.cells)
        if (differs === undefined) return strange()
        if (differs) context.changed()
        return undefined
      }
      case "Delete":
        if (table.remove(command.rowid)) context.changed()
        return undefined
      case "Reconnect":
        return command
    }
  }

  /** Ends when a silent stream has nobody at its other end any more. */
  const watch = Effect.gen(function* () {
    let deaf = 0
    let silentMs = 0
    while (true) {
      const before = lines
      const pause = deaf === 0 ? context.silenceMs : Math.min(SECOND_PING_MS, context.silenceMs)
      yield* Effect.sleep(pause)
      if (lines !== before) {
        deaf = 0
        silentMs = 0
        continue
      }
      silentMs += pause
      if (!isLive() && silentMs >= agent.times.stallMs) context.stalled()
      const failure = yield* ping(agent).pipe(
        Effect.as(undefined),
        Effect.catch((error) => Effect.succeed(error))
      )
      if (failure === undefined) {
        deaf = 0
        if (isLive()) context.confirmed()
      } else if (++deaf >= 2) return yield* failure
    }
  })

  /** Ends when the subscription has missed something. */
  const verify = Effect.fnUntraced(function* (table: RowTable.RowTable) {
    while (true) {
      yield* Effect.sleep(agent.times.crossCheckMs * Math.max(1, table.size() / CROSS_CHECK_ROWS))
      // One that can't be made says nothing.
      if (isLive() && (yield* hasMissed(agent, query, table).pipe(Effect.orElseSucceed(() => false)))) return
    }
  })

  const follow = Effect.fnUntraced(function* () {
    distrusted = Deferred.makeUnsafe()
    const { answer, table } = yield* connect()
    if (answer.status !== 200) {
      const error = yield* Effect.flip(refusal(agent, answer))
      const left = take(table, { rows: undefined }, { _tag: "Refused", status: answer.status })
      return { pace: left?.pace ?? "backoff", error }
    }
    const collected: { rows: RowTable.Snapshot | undefined } = { rows: undefined }
    take(table, collected, { _tag: "Opened", id: idOf(answer) })
    let left: ReturnType<typeof take>
    const read = readLines(answer, (line) => {
      lines++
      left = take(table, collected, { _tag: "Line", event: parse(line) })
      return left === undefined
    })
    const missed = Effect.raceFirst(verify(table), Deferred.await(distrusted)).pipe(
      Effect.map(() => {
        left = take(table, collected, { _tag: "Distrusted" })
      })
    )
    yield* Effect.raceAllFirst([read, watch, missed])
    if (left === undefined) {
      return yield* new AgentError({ kind: "unavailable", detail: "the agent has ended the subscription" })
    }
    return { pace: left.pace, error: new AgentError({ kind: "unavailable", detail: left.why }) }
  }, Effect.scoped)

  return {
    isLive,
    distrust: () => {
      if (Subscription.requestOf(state)._tag === "Create") return
      state = Subscription.step(state, { _tag: "Distrusted" }).state
      Deferred.doneUnsafe(distrusted, Effect.void)
    },
    attempt: Effect.suspend(follow).pipe(
      Effect.catch((error) => {
        state = Subscription.step(state, { _tag: "Ended" }).state
        return Effect.succeed({ pace: paceOf(error), error })
      })
    )
  }
}
