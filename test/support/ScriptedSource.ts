import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Queue from "effect/Queue"
import * as Stream from "effect/Stream"
import type { BackendRow } from "../../src/domain/Backend.ts"
import { BackendSource, SourceError, type SourceEvent } from "../../src/routing/BackendSource.ts"
import { settled } from "./settled.ts"

/** A source that says what the test tells it to say. */
export interface ScriptedSource {
  readonly layer: Layer.Layer<BackendSource>
  /** Each completes once the event has had its effect. */
  readonly rows: (...rows: ReadonlyArray<BackendRow>) => Effect.Effect<void>
  readonly tables: (rows: ReadonlyArray<BackendRow>, states: ReadonlyArray<BackendRow>) => Effect.Effect<void>
  readonly unchanged: Effect.Effect<void>
  readonly lost: (detail: string) => Effect.Effect<void>
}

export const make = (options: { readonly shared?: boolean } = {}): Effect.Effect<ScriptedSource> =>
  Effect.gen(function* () {
    const queue = yield* Queue.unbounded<SourceEvent>()
    const send = (event: SourceEvent): Effect.Effect<void> => Queue.offer(queue, event).pipe(Effect.andThen(settled))
    return {
      layer: Layer.succeed(BackendSource, {
        name: "script",
        shared: options.shared ?? false,
        keepsRows: false,
        events: Stream.fromQueue(queue)
      }),
      rows: (...rows) => send({ _tag: "Rows", rows }),
      tables: (rows, states) => send({ _tag: "Rows", rows, states }),
      unchanged: send({ _tag: "Unchanged" }),
      lost: (detail) =>
        send({
          _tag: "Lost",
          error: new SourceError({ source: "script", target: "test", reason: "unreachable", detail })
        })
    }
  })
