import * as Schema from "effect/Schema"
import { clientRefusals } from "../domain/AccessList.ts"
import { causes, phases, terminators } from "../domain/Termination.ts"

/** The JSON of the API, named as D1 names it. Times are seconds that have passed; null is "none" or "not known". */

const text = (description: string) => Schema.String.annotate({ description })

const integer = (minimum: number, maximum: number, description: string) =>
  Schema.Int.annotate({ expected: `an integer from ${minimum} to ${maximum}`, description }).check(
    Schema.isBetween({ minimum, maximum }, { expected: `an integer from ${minimum} to ${maximum}` })
  )

/** What a backend says of itself. What more it says is ignored. Ids, names and addresses are judged by the registry. */
export const Registration = Schema.Struct({
  id: text("1 to 128 bytes of printable text"),
  app: text("the app it serves; '' for none"),
  region: text("sa, us, eu or ap"),
  ip: text("IPv4 or IPv6 address, or the name of a host that is looked up in DNS"),
  port: integer(1, 65_535, "where it listens"),
  country: Schema.optional(Schema.NullOr(text("ISO 3166 code of two letters"))),
  weight: Schema.optional(Schema.NullOr(integer(0, 1_000, "share of new clients; 2 when not given"))),
  soft_limit: Schema.optional(Schema.NullOr(integer(0, 10_000_000, "comfortable connections; 100 when not given"))),
  hard_limit: Schema.optional(
    Schema.NullOr(integer(0, 10_000_000, "most connections; 0: no limit; 150 when not given"))
  )
})

export const Registered = <const M extends string>(message: M) =>
  Schema.Struct({ id: Schema.String, registered: Schema.Literal(true), message: Schema.Literal(message) })

export const stateNames = [
  "active",
  "standby",
  "draining",
  "unresolved",
  "unhealthy",
  "expired",
  "down",
  "circuit-open",
  "circuit-half-open"
] as const

const circuitNames = ["closed", "open", "half-open"] as const

export const Backend = Schema.Struct({
  id: Schema.String,
  app: Schema.String,
  region: Schema.String,
  country: Schema.NullOr(Schema.String),
  ip: Schema.String.annotate({ description: "as it registered: an address, or the name of a host" }),
  addresses: Schema.optional(Schema.Array(Schema.String)).annotate({
    description: "where the host's name leads, with the port"
  }),
  port: Schema.Int,
  healthy: Schema.Boolean,
  weight: Schema.Int,
  soft_limit: Schema.Int,
  hard_limit: Schema.Int.annotate({ description: "0: no limit" }),
  connections: Schema.Int.annotate({ description: "live ones and those being dialled, at this POP" }),
  warm: Schema.Int.annotate({ description: "opened ahead of a client, or being so" }),
  last_heartbeat_secs: Schema.NullOr(Schema.Int).annotate({ description: "since the last heartbeat" }),
  registered_secs: Schema.NullOr(Schema.Int).annotate({ description: "since it registered" }),
  source: Schema.Literals(["api", "table"]).annotate({ description: "api: it registered; table: written by hand" }),
  state: Schema.Literals(stateNames),
  circuit: Schema.NullOr(Schema.Literals(circuitNames)),
  check_error: Schema.NullOr(Schema.String).annotate({ description: "why the last health check failed" }),
  share: Schema.NullOr(Schema.Finite).annotate({ description: "of its weight that counts; below 1 in a slow start" }),
  owner: Schema.NullOr(Schema.String).annotate({ description: "the POP that decides on its expiry" })
})

/** A row of the table that is not used. */
export const Quarantined = Schema.Struct({
  id: Schema.String,
  reason: Schema.String,
  state: Schema.Literal("quarantined")
})

export const BackendList = Schema.Struct({
  backends: Schema.Array(Schema.Union([Backend, Quarantined])),
  total: Schema.Int.annotate({ description: "how many there are, on all pages" }),
  next: Schema.optional(Schema.String.annotate({ description: "`after` of the next page" }))
})

/** One connection between accept and end, named as in the access log. */
export const Connection = Schema.Struct({
  id: Schema.String.annotate({ description: "the last part of `conn` in the access log" }),
  phase: Schema.Literals(["route", "dial", "relay"]),
  client: Schema.String,
  client_port: Schema.Int,
  peer: Schema.NullOr(Schema.String).annotate({ description: "who has named the client in a PROXY header" }),
  country: Schema.NullOr(Schema.String),
  region: Schema.NullOr(Schema.String),
  app: Schema.String,
  listener: Schema.String,
  sni: Schema.NullOr(Schema.String).annotate({ description: "the server name in its TLS hello" }),
  backend: Schema.NullOr(Schema.String),
  backend_addr: Schema.NullOr(Schema.String),
  tier: Schema.NullOr(Schema.Int),
  affinity: Schema.NullOr(Schema.Literals(["new", "hit", "rebound"])),
  attempts: Schema.Int,
  connect_ms: Schema.NullOr(Schema.Finite),
  age_ms: Schema.Int,
  idle_ms: Schema.Int,
  bytes_in: Schema.Int,
  bytes_out: Schema.Int
})

export const ConnectionList = Schema.Struct({
  connections: Schema.Array(Connection),
  total: Schema.Int,
  next: Schema.optional(Schema.String.annotate({ description: "`after` of the next page" }))
})

export const Actor = Schema.Struct({
  name: Schema.String,
  state: Schema.Literals(["running", "restarting", "crash-loop", "finished"]),
  restarts: Schema.Int,
  started_secs: Schema.Int,
  last_failure: Schema.NullOr(Schema.Struct({ secs: Schema.Int, message: Schema.String }))
})

export const Table = Schema.Struct({
  version: Schema.Int,
  origin: Schema.Literals(["none", "source", "snapshot"]),
  backends: Schema.Int,
  quarantined: Schema.Int,
  age_secs: Schema.NullOr(Schema.Finite).annotate({ description: "since the source confirmed what is served" }),
  lost: Schema.NullOr(
    Schema.Struct({ source: Schema.String, target: Schema.String, reason: Schema.String, detail: Schema.String })
  ),
  held: Schema.NullOr(
    Schema.Struct({
      eligible: Schema.Int,
      lost: Schema.Int.annotate({ description: "how many of them the update would remove" })
    })
  )
})

export const Health = Schema.Struct({
  status: Schema.Literal("ok"),
  version: Schema.String,
  pop: Schema.String,
  region: Schema.String,
  registered_backends: Schema.Int,
  uptime_secs: Schema.Int
})

const readiness = <const R extends boolean>(ready: R) =>
  Schema.Struct({
    ready: Schema.Literal(ready),
    reasons: Schema.Array(Schema.String).annotate({ description: "why not" }),
    degraded: Schema.Array(Schema.String).annotate({ description: "what is amiss and does not keep it from serving" })
  })

export const Ready = readiness(true)
export const NotReady = readiness(false)

const outReason = Schema.Literals([
  "other-app",
  "removed",
  "unhealthy",
  "draining",
  "expired",
  "standby",
  "full",
  "down",
  "circuit-open",
  "circuit-half-open"
])
const tier = Schema.Literals([0, 1, 2, 3])

const bounded = <S extends Schema.Top>(shown: S) => Schema.Struct({ total: Schema.Int, shown: Schema.Array(shown) })

/** D4, as `Explanation` of the router has it. */
export const Explanation = Schema.Struct({
  client: Schema.Struct({
    address: Schema.String,
    key: Schema.String,
    country: Schema.NullOr(Schema.String),
    region: Schema.NullOr(Schema.String),
    refused: Schema.NullOr(Schema.Literals(clientRefusals))
  }),
  sni: Schema.NullOr(Schema.Struct({ name: Schema.String, routed: Schema.Boolean, refused: Schema.Boolean })),
  app: Schema.NullOr(Schema.String),
  pop_region: Schema.String,
  panic: Schema.Boolean,
  binding: Schema.NullOr(
    Schema.Struct({
      backend: Schema.NullOr(Schema.String),
      open_connections: Schema.Int,
      seconds_left: Schema.NullOr(Schema.Finite),
      unused: Schema.NullOr(Schema.Union([outReason, Schema.Literal("binding-limit")]))
    })
  ),
  choice: Schema.Union([
    Schema.Struct({
      backend: Schema.String,
      tier,
      affinity: Schema.Literals(["new", "hit", "rebound"])
    }),
    Schema.Struct({ backend: Schema.Null, reason: Schema.Literals(["no-backend", "no-capacity"]) })
  ]),
  candidates: bounded(
    Schema.Struct({
      rank: Schema.Int,
      id: Schema.String,
      app: Schema.String,
      region: Schema.String,
      country: Schema.NullOr(Schema.String),
      tier,
      connections: Schema.Int,
      soft_limit: Schema.Int,
      hard_limit: Schema.Int,
      weight: Schema.Finite,
      load: Schema.NullOr(Schema.Finite),
      score: Schema.NullOr(Schema.Finite),
      spilled: Schema.Boolean,
      bound: Schema.Boolean
    })
  ),
  out: bounded(
    Schema.Struct({
      id: Schema.String,
      app: Schema.String,
      reason: outReason,
      connections: Schema.Int,
      hard_limit: Schema.Int
    })
  )
})

const affinity = Schema.Literals(["new", "hit", "rebound"])

/** D4 of one connection, as `RecordedConnection` has it. */
export const ConnectionExplanation = Schema.Struct({
  recorded: Schema.Struct({
    conn: Schema.String,
    state: Schema.Literals(["open", "ended"]),
    client: Schema.String,
    client_port: Schema.Int,
    peer: Schema.NullOr(Schema.String),
    country: Schema.NullOr(Schema.String),
    region: Schema.NullOr(Schema.String),
    app: Schema.NullOr(Schema.String),
    sni: Schema.NullOr(Schema.String),
    listener: Schema.String,
    attempts: Schema.Int,
    failures: Schema.Array(Schema.Struct({ backend: Schema.String, address: Schema.String, reason: Schema.String })),
    decision: Schema.NullOr(
      Schema.Struct({
        backend: Schema.String,
        backend_addr: Schema.String,
        tier,
        affinity,
        connections: Schema.Int,
        soft_limit: Schema.Int,
        hard_limit: Schema.Int,
        weight: Schema.Finite,
        load: Schema.NullOr(Schema.Finite),
        score: Schema.NullOr(Schema.Finite),
        candidates: Schema.Int,
        candidates_up: Schema.Int,
        panic: Schema.Boolean
      })
    ),
    connect_ms: Schema.NullOr(Schema.Finite),
    trace_id: Schema.NullOr(Schema.String),
    end: Schema.NullOr(
      Schema.Struct({
        ts: Schema.String,
        by: Schema.Literals(terminators),
        phase: Schema.Literals(phases),
        cause: Schema.Literals(causes),
        duration_ms: Schema.Finite,
        bytes_in: Schema.Int,
        bytes_out: Schema.Int
      })
    )
  }).annotate({ description: "Noted down as it happened" }),
  now: Explanation.annotate({
    description: "Worked out now: where a new connection of the same client to the same app would go"
  })
})
