import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import * as CorrosionSource from "../../layers/corrosion/CorrosionSource.ts"
import type { CorrosionOptions, CorrosionTimes } from "../../layers/corrosion/options.ts"
import type { BackendRow } from "../../src/domain/Backend.ts"
import { BackendSource, type SourceEvent } from "../../src/routing/BackendSource.ts"
import { make as makeFake } from "../support/corrosion/FakeAgent.ts"
import type { FakeAgent, Options } from "../support/corrosion/FakeAgent.ts"
import { ask, transact } from "../support/corrosion/talk.ts"
import { make as makeWatch } from "../support/Watch.ts"

export const schemaDirectory = fileURLToPath(new URL("../../docker/corrosion/schema", import.meta.url))

/** As an agent reads it: all files, in order. */
export const schema = readdirSync(schemaDirectory)
  .sort()
  .map((file) => readFileSync(join(schemaDirectory, file), "utf8"))
  .join(";")

/** An agent, fake or real, as far as its users see it. */
export interface TestAgent {
  readonly url: string
}

/** Times that let a test see in milliseconds what takes seconds otherwise. */
export const quick: Partial<CorrosionTimes> = {
  headMs: 2_000,
  answerMs: 1_000,
  firstRetryMs: 5,
  maxRetryMs: 50,
  slowRetryMs: 50,
  coalesceMs: 5,
  crossCheckMs: 3_600_000,
  differenceMs: 30
}

export const optionsFor = (
  { url }: TestAgent,
  { times, ...options }: Partial<CorrosionOptions> = {}
): CorrosionOptions => ({
  url,
  token: undefined,
  // Long enough that no test is passed by polling unnoticed.
  pollMs: 30_000,
  mode: "subscribe",
  ...options,
  times: { ...quick, ...times }
})

/** A fake agent with the shipped schema, at a quick pace. */
export const fake = (options: Partial<Options> = {}): Effect.Effect<FakeAgent, never, Scope.Scope> =>
  makeFake({ schema, tickMs: 5, ...options })

export type Statement = readonly [sql: string, params: ReadonlyArray<unknown>]

export const put = (id: string, weight = 1): Statement => [
  `INSERT INTO backends (id, app, region, country, wg_ip, port, weight) VALUES (?, 'shop', 'eu', 'DE', '10.0.0.1', 80, ?)
   ON CONFLICT (id) DO UPDATE SET weight = excluded.weight`,
  [id, weight]
]

export const remove = (id: string): Statement => ["DELETE FROM backends WHERE id = ?", [id]]

export const drain = (id: string): Statement => [
  `INSERT INTO edgeproxy_backend_state (id, draining) VALUES (?, 1) ON CONFLICT (id) DO UPDATE SET draining = 1`,
  [id]
]

/** Statements in one transaction; dies when they are refused. */
export const write = Effect.fnUntraced(function* ({ url }: TestAgent, ...statements: ReadonlyArray<Statement>) {
  const { body, status } = yield* transact(url, ...statements)
  if (status !== 200) return yield* Effect.die(new Error(`HTTP ${status}: ${body}`))
})

/** `id` and `weight` of the rows at the agent, sorted. */
export const atAgent = ({ url }: TestAgent): Effect.Effect<ReadonlyArray<string>> =>
  Effect.map(ask(`${url}/v1/queries`, { json: "SELECT id, weight FROM backends" }), ({ body }) =>
    body
      .split("\n")
      .filter((line) => line.startsWith(`{"row"`))
      .map((line) => (JSON.parse(line) as { readonly row: readonly [number, ReadonlyArray<unknown>] }).row[1].join(" "))
      .sort()
  )

export const summary = (rows: ReadonlyArray<BackendRow>): ReadonlyArray<string> =>
  rows.map(({ id, weight }) => `${String(id)} ${String(weight)}`).sort()

/** A source that runs, and what it has told. */
export interface Followed {
  readonly events: () => ReadonlyArray<SourceEvent>
  /** The rows of the last event that had any. */
  readonly rows: () => ReadonlyArray<BackendRow>
  readonly states: () => ReadonlyArray<BackendRow> | undefined
  /** Waits until the rows are those of this summary. */
  readonly untilRows: (...expected: ReadonlyArray<string>) => Effect.Effect<void>
  readonly until: <A>(what: string, look: () => A | undefined | false, ms?: number) => Effect.Effect<A>
}

export const nameOf = (event: SourceEvent): string =>
  event._tag === "Rows"
    ? `rows ${event.rows.length}`
    : event._tag === "Lost"
      ? `lost ${event.error.reason}`
      : "unchanged"

/** Runs the source with the scope. */
export const follow = Effect.fnUntraced(function* (options: CorrosionOptions) {
  const source = yield* BackendSource.pipe(Effect.provide(CorrosionSource.layer(options)))
  const watch = makeWatch()
  const events: Array<SourceEvent> = []
  let last: Extract<SourceEvent, { readonly _tag: "Rows" }> | undefined
  yield* source.events.pipe(
    Stream.runForEach((event) =>
      Effect.sync(() => {
        events.push(event)
        if (event._tag === "Rows") last = event
        watch.touch()
      })
    ),
    Effect.forkScoped
  )
  const rows = (): ReadonlyArray<BackendRow> => last?.rows ?? []
  const followed: Followed = {
    events: () => events,
    rows,
    states: () => last?.states,
    until: watch.until,
    untilRows: (...expected) =>
      Effect.asVoid(
        watch.until(
          () => `${expected.join(", ")} but ${summary(rows()).join(", ")} after ${events.map(nameOf).join(", ")}`,
          () => last !== undefined && summary(rows()).join() === expected.join()
        )
      )
  }
  return followed
})
