import * as Schema from "effect/Schema"

/** What a request asks for: `subscribe` is POST /v1/subscriptions, `resume` is GET /v1/subscriptions/{id}. */
export const Endpoint = Schema.Literals([
  "transactions",
  "queries",
  "subscribe",
  "resume",
  "updates",
  "table_stats",
  "health"
])
export type Endpoint = typeof Endpoint.Type

const How = Schema.Literals(["eof", "close", "reset", "partial", "partial-close", "error"])

/** The requests that a fault waits for: the next one, or the next `times`; only of one endpoint if given. */
const awaited = { on: Schema.optionalKey(Endpoint), times: Schema.optionalKey(Schema.Int) }

/** What goes wrong with a request to come. */
export const Fault = Schema.Union([
  /** Another status than it deserves, with the agent's body for it or this one. */
  Schema.Struct({
    do: Schema.Literal("answer"),
    status: Schema.Int,
    body: Schema.optionalKey(Schema.String),
    ...awaited
  }),
  /** No answer. */
  Schema.Struct({ do: Schema.Literal("hang"), ...awaited }),
  /** The answer comes late. */
  Schema.Struct({ do: Schema.Literal("slow"), ms: Schema.Number, ...awaited }),
  /** The connection is reset before anything is done, or after it was done. */
  Schema.Struct({ do: Schema.Literals(["lose-request", "lose-answer"]), ...awaited }),
  /** The rows end after some (or all) of them, without `eoq`. */
  Schema.Struct({
    do: Schema.Literal("cut-before-eoq"),
    rows: Schema.optionalKey(Schema.Int),
    how: Schema.optionalKey(How),
    ...awaited
  })
])
export type Fault = typeof Fault.Type

/** Only the subscription with this id; else all. */
const chosen = { sub: Schema.optionalKey(Schema.String) }

/** What a test tells an agent to do. */
export const Command = Schema.Union([
  Fault,
  /** Forgets the faults that still wait. */
  Schema.Struct({ do: Schema.Literal("behave") }),
  /** Ends streams now. */
  Schema.Struct({ do: Schema.Literal("end"), how: How, message: Schema.optionalKey(Schema.String), ...chosen }),
  /** Streams lose their next changes, one or `count`. */
  Schema.Struct({ do: Schema.Literal("gap"), count: Schema.optionalKey(Schema.Int), ...chosen }),
  /** Streams get the last change again, or the one before it. */
  Schema.Struct({ do: Schema.Literals(["repeat", "regress"]), ...chosen }),
  /** The same subscription under a new id. */
  Schema.Struct({ do: Schema.Literal("rename"), ...chosen }),
  /** Ends the streams of subscriptions in order and forgets them. */
  Schema.Struct({ do: Schema.Literal("drop"), ...chosen }),
  /** Forgets all changes but the newest `keep` (500). */
  Schema.Struct({ do: Schema.Literal("prune"), keep: Schema.optionalKey(Schema.Int), ...chosen }),
  /** Closes every connection and listens no more; a crash forgets the subscriptions too. */
  Schema.Struct({ do: Schema.Literals(["stop", "restart"]), crash: Schema.optionalKey(Schema.Boolean) }),
  /** Listens again, on the same port. */
  Schema.Struct({ do: Schema.Literal("start") }),
  /** Looks at all changes now. */
  Schema.Struct({ do: Schema.Literal("tick") }),
  Schema.Struct({ do: Schema.Literal("tick-every"), ms: Schema.Number }),
  /** Bytes per chunk from now on; 0 for whole lines. */
  Schema.Struct({ do: Schema.Literal("pieces"), bytes: Schema.Int }),
  /** Streams send nothing until `release`, then all in one chunk. */
  Schema.Struct({ do: Schema.Literals(["hold", "release"]) }),
  /** What /v1/health answers. */
  Schema.Struct({ do: Schema.Literal("health"), known: Schema.Boolean }),
  /** Exchanges changes with the agent at this URL. */
  Schema.Struct({ do: Schema.Literal("link"), peer: Schema.String }),
  /** Cuts the links, or one; heals them. */
  Schema.Struct({ do: Schema.Literals(["cut", "heal"]), peer: Schema.optionalKey(Schema.String) }),
  /** How late changes leave for the peers. */
  Schema.Struct({ do: Schema.Literal("delay"), ms: Schema.Number })
])
export type Command = typeof Command.Type
