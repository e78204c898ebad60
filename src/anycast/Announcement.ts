import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type { Level } from "./Level.ts"

/** The announcement of this POP's anycast addresses, for those that end the traffic, and those that look. */
export interface AnnouncementState {
  /** Where the POP should stand. */
  readonly level: () => Level
  /** The routing daemon was told, and has not failed since. */
  readonly confirmed: () => boolean
  /** How often it has come to stand there. */
  readonly transitions: (level: Level) => number
  /** How often the routing daemon could not be told. */
  readonly failures: () => number
  /** Withdraws, for good (S3). Gives the milliseconds for which clients may still come here; ends within seconds. */
  readonly withdraw: Effect.Effect<number>
}

/** Undefined: this POP announces nothing. */
export const Announcement = Context.Reference<AnnouncementState | undefined>("edgeproxy/anycast/Announcement", {
  defaultValue: () => undefined
})
