import * as Schema from "effect/Schema"
import * as HttpApiEndpoint from "effect/http-api/HttpApiEndpoint"
import * as HttpApiGroup from "effect/http-api/HttpApiGroup"
import * as HttpApiSchema from "effect/http-api/HttpApiSchema"
import * as OpenApi from "effect/http-api/OpenApi"
import { ReadAccess, WriteAccess } from "./Authorization.ts"
import { BadRequest, Conflict, Forbidden, NotFound, Unavailable } from "./errors.ts"
import { Input } from "./Input.ts"
import { pageQuery } from "./page.ts"
import * as schemas from "./schemas.ts"

const id = { id: Schema.String }

/** What a change of one backend may come to. */
const changeErrors = [BadRequest, Forbidden, NotFound, Conflict, Unavailable] as const

const register = HttpApiEndpoint.post("register", "/register", {
  payload: schemas.Registration,
  success: [
    schemas.Registered("registered").pipe(HttpApiSchema.status(201)),
    schemas.Registered("already registered; refreshed").pipe(HttpApiSchema.status(200))
  ],
  error: changeErrors
}).annotateMerge(OpenApi.annotations({ summary: "A backend says that it is there: it takes traffic at once (D2)" }))

const heartbeat = HttpApiEndpoint.post("heartbeat", "/heartbeat/:id", {
  params: id,
  success: Schema.Struct({ id: Schema.String, status: Schema.Literal("ok") }),
  error: changeErrors
}).annotateMerge(OpenApi.annotations({ summary: "A registered backend is still there; any POP takes it" }))

const list = HttpApiEndpoint.get("list", "/backends", {
  query: {
    app: Schema.optional(Schema.String),
    state: Schema.optional(Schema.Literals([...schemas.stateNames, "quarantined"])),
    ...pageQuery
  },
  success: schemas.BackendList
}).annotateMerge(
  OpenApi.annotations({
    summary: "The backends of the table; all unless `limit` is given",
    description: "`state=quarantined` lists the rows that are not used, each with its reason."
  })
)

const get = HttpApiEndpoint.get("get", "/backends/:id", {
  params: id,
  success: schemas.Backend,
  error: NotFound
}).annotateMerge(OpenApi.annotations({ summary: "One backend" }))

const remove = HttpApiEndpoint.delete("deregister", "/backends/:id", {
  params: id,
  success: Schema.Struct({ deregistered: Schema.Literal(true), id: Schema.String }),
  error: changeErrors
}).annotateMerge(OpenApi.annotations({ summary: "A registered backend leaves the table; its connections run on" }))

const drained = <const D extends boolean>(draining: D) =>
  Schema.Struct({ id: Schema.String, draining: Schema.Literal(draining) })

const drain = HttpApiEndpoint.post("drain", "/backends/:id/drain", {
  params: id,
  success: drained(true),
  error: changeErrors
}).annotateMerge(OpenApi.annotations({ summary: "No new connections for a backend; open ones run on (H6)" }))

const undrain = HttpApiEndpoint.post("undrain", "/backends/:id/undrain", {
  params: id,
  success: drained(false),
  error: changeErrors
}).annotateMerge(OpenApi.annotations({ summary: "Ends a drain" }))

/** Backends come, stay and go (D1, D2, D5). */
export const BackendsGroup = HttpApiGroup.make("backends").add(
  register.middleware(Input).middleware(WriteAccess),
  heartbeat.middleware(Input).middleware(WriteAccess),
  list.middleware(Input).middleware(ReadAccess),
  get.middleware(ReadAccess),
  remove.middleware(Input).middleware(WriteAccess),
  drain.middleware(Input).middleware(WriteAccess),
  undrain.middleware(Input).middleware(WriteAccess)
)
