import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { Watch } from "../Watch.ts"
import type { Command } from "./Command.ts"
import { obey } from "./obey.ts"
import { Running } from "./Running.ts"
import type { Options, Seen } from "./Running.ts"

export type { Options } from "./Running.ts"

/** A subscription that the agent has. */
export interface Listed {
  readonly id: string
  readonly sql: string
  readonly lastChangeId: number
  readonly listeners: number
}

/** An agent for tests that speaks Corrosion's HTTP API, and misbehaves when told to. */
export interface FakeAgent {
  /** Without a slash at the end. */
  readonly url: string
  readonly port: number
  readonly actorId: string
  /** Why it has no tables, if its schema was refused. */
  readonly schemaError: string | undefined
  /** Done when what it asks for is done. */
  readonly control: (command: Command) => Effect.Effect<void>
  readonly requests: () => ReadonlyArray<Seen>
  readonly subscriptions: () => ReadonlyArray<Listed>
  /** Touched on every request, stream that ends, and change. */
  readonly watch: Watch
}

/** An agent that listens on loopback; it is shut down in order with the scope. */
export const make = (options: Options): Effect.Effect<FakeAgent, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.promise(async () => {
      const running = new Running(options)
      await running.start()
      return running
    }),
    (running) => Effect.promise(() => running.shutdown())
  ).pipe(
    Effect.map((running) => ({
      url: running.url,
      port: running.port,
      actorId: running.database.actorId,
      schemaError: running.database.schemaError,
      control: (command) => Effect.promise(() => obey(running, command)),
      requests: () => running.seen,
      subscriptions: () =>
        running.hub.list().map(({ id, lastChangeId, listeners, sql }) => ({
          id,
          sql,
          lastChangeId,
          listeners: listeners.size
        })),
      watch: running.watch
    }))
  )
