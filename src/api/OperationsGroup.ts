import * as Schema from "effect/Schema"
import * as HttpApiEndpoint from "effect/http-api/HttpApiEndpoint"
import * as HttpApiGroup from "effect/http-api/HttpApiGroup"
import * as HttpApiSchema from "effect/http-api/HttpApiSchema"
import * as OpenApi from "effect/http-api/OpenApi"
import { ReadAccess, WriteAccess } from "./Authorization.ts"
import { BadRequest, NotFound, Unavailable } from "./errors.ts"
import { Input } from "./Input.ts"
import { pageQuery } from "./page.ts"
import * as schemas from "./schemas.ts"

const listConnections = HttpApiEndpoint.get("connections", "/connections", {
  query: pageQuery,
  success: schemas.ConnectionList
}).annotateMerge(
  OpenApi.annotations({
    summary: "Connections between accept and end, by id",
    description: "A connection that lives as long as the paging is on exactly one page."
  })
)

const kill = HttpApiEndpoint.delete("kill", "/connections/:id", {
  params: { id: Schema.String },
  success: Schema.Struct({ killed: Schema.Literal(true), id: Schema.String }),
  error: NotFound
}).annotateMerge(OpenApi.annotations({ summary: "Ends a connection" }))

const actors = HttpApiEndpoint.get("actors", "/actors", {
  success: Schema.Struct({ actors: Schema.Array(schemas.Actor) })
}).annotateMerge(OpenApi.annotations({ summary: "The moving parts of the program and how they fare" }))

/** Entries of each list of an explanation. */
const shown = Schema.optional(
  Schema.Int.annotate({ expected: "an integer from 1 to 100" }).check(
    Schema.isBetween({ minimum: 1, maximum: 100 }, { expected: "an integer from 1 to 100" })
  )
)

const explain = HttpApiEndpoint.get("explain", "/explain", {
  query: {
    ip: Schema.String,
    app: Schema.optional(Schema.String),
    sni: Schema.optional(Schema.String),
    shown
  },
  success: schemas.Explanation,
  error: BadRequest
}).annotateMerge(
  OpenApi.annotations({
    summary:
      "Where a client would go, and why; `sni`: with this TLS server name; `shown` bounds each list. It changes nothing (D4)"
  })
)

const explainConnection = HttpApiEndpoint.get("explainConnection", "/connections/:id/explain", {
  params: { id: Schema.String },
  query: { shown },
  success: schemas.ConnectionExplanation,
  error: NotFound
}).annotateMerge(
  OpenApi.annotations({
    summary: "Why a connection went where it went (D4)",
    description:
      "The id is that of the access log or of the list of connections. Open ones are known, and the last 4,096 that ended well and as many that did not."
  })
)

const table = HttpApiEndpoint.get("table", "/table", { success: schemas.Table }).annotateMerge(
  OpenApi.annotations({ summary: "The routing table: its source, its age, what is held" })
)

const confirm = HttpApiEndpoint.post("confirmTable", "/table/confirm", {
  success: Schema.Struct({
    confirmed: Schema.Boolean.annotate({ description: "false: nothing was held" })
  })
}).annotateMerge(OpenApi.annotations({ summary: "Takes an update that the safety gate holds (T5)" }))

/** Where the stream is that has no end. */
export const LIVE_PATH = "/api/v1/live"

const live = HttpApiEndpoint.get("live", "/live", {
  success: HttpApiSchema.StreamUint8Array({ contentType: "text/event-stream" }),
  error: Unavailable
}).annotateMerge(
  OpenApi.annotations({
    summary: "What the POP does, as server-sent events: everything first, then what changes, once a second",
    description: "It is what the dashboard shows. Values replace those known under their keys; null removes them."
  })
)

/** For who runs the POP (D4, D5, T5). */
export const OperationsGroup = HttpApiGroup.make("operations").add(
  listConnections.middleware(Input).middleware(ReadAccess),
  kill.middleware(Input).middleware(WriteAccess),
  actors.middleware(ReadAccess),
  explain.middleware(Input).middleware(ReadAccess),
  explainConnection.middleware(Input).middleware(ReadAccess),
  table.middleware(ReadAccess),
  live.middleware(ReadAccess),
  confirm.middleware(Input).middleware(WriteAccess)
)
