import * as Context from "effect/Context"
import * as Data from "effect/Data"
import type * as Effect from "effect/Effect"
import type { Level } from "./Level.ts"

/** The routing daemon could not be told. */
export class AnnounceError extends Data.TaggedError("AnnounceError")<{
  /** Which one. */
  readonly target: string
  readonly reason: "unreachable" | "timeout" | "protocol" | "refused" | "unknown-protocol"
  readonly detail: string
}> {
  override get message(): string {
    return `${this.target}: ${this.detail}`
  }
}

/** Tells a routing daemon of this host what to announce. */
export class RouteAnnouncer extends Context.Service<
  RouteAnnouncer,
  {
    readonly target: string
    /** How it is now. */
    readonly current: Effect.Effect<Level, AnnounceError>
    /** Makes it so, however it was before; gives what it had to change. Comes to an end within seconds. */
    readonly apply: (level: Level) => Effect.Effect<ReadonlyArray<string>, AnnounceError>
  }
>()("edgeproxy/anycast/RouteAnnouncer") {}
