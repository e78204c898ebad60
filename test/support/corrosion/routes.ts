import type { IncomingMessage, ServerResponse } from "node:http"
import { empty, error, json, readJson, readParams, send, text } from "./answer.ts"
import type { Answer } from "./answer.ts"
import type { Endpoint, Fault } from "./Command.ts"
import { execute, select, SqlError } from "./Database.ts"
import type { Database, Touched } from "./Database.ts"
import type { Hub } from "./Hub.ts"
import { encodeCells, isObject } from "./json.ts"
import { LineStream } from "./LineStream.ts"
import type { Sending } from "./LineStream.ts"
import { quote } from "./sqlText.ts"
import { toStatement, toStatements } from "./statement.ts"
import type { Statement } from "./statement.ts"
import { Subscription } from "./Subscription.ts"
import type { Start } from "./Subscription.ts"

/** What the endpoints work on. */
export interface State {
  readonly database: Database
  readonly hub: Hub
  readonly sending: Sending
  readonly changed: (touched: Touched) => void
  readonly healthKnown: () => boolean
}

/** A request that was admitted. */
export interface Call {
  readonly request: IncomingMessage
  readonly response: ServerResponse
  readonly url: URL
  /** The last part of the path where that is a parameter. */
  readonly name: string
  readonly fault: Fault | undefined
}

type Handler = (state: State, call: Call) => Promise<void> | void

const UNREADABLE = text(
  422,
  "Failed to deserialize the JSON body into the target type: data did not match any variant of untagged enum Statement"
)

const messageOf = (cause: unknown): string => (cause instanceof Error ? cause.message : String(cause))

/** SQLite's words as the agent gives them for a statement that does not compile. */
const sqlMessage = (cause: unknown, sql: string): string => {
  const message = messageOf(cause)
  const name = /no such (?:table|column): (\S+)|near "([^"]*)"/.exec(message)
  if (name === null) return message
  return `${message} in ${sql} at offset ${Math.max(0, sql.indexOf(name[1] ?? name[2] ?? ""))}`
}

const transactions: Handler = async ({ changed, database }, { request, response, url }) => {
  const params = readParams(url)
  if ("refusal" in params) return send(response, params.refusal)
  const body = await readJson(request)
  if ("refusal" in body) return send(response, body.refusal)
  const statements = toStatements(body.json)
  if (statements === undefined) return send(response, UNREADABLE)
  const failed = (status: number, message: string): Answer =>
    json(status, { results: [{ error: message }], time: 0, version: null, actor_id: database.actorId })
  if (statements.length === 0) return send(response, failed(400, "at least 1 statement is required"))
  const began = performance.now()
  const seconds = (since: number): number => (performance.now() - since) / 1_000
  try {
    const { touched, value, version } = database.transact(() =>
      statements.map((statement) => {
        const at = performance.now()
        return { rows_affected: execute(database, statement), time: seconds(at) }
      })
    )
    changed(touched)
    send(response, json(200, { results: value, time: seconds(began), version, actor_id: database.actorId }))
  } catch (cause) {
    send(response, failed(500, `rusqlite: ${messageOf(cause)} (actor_id: None, version: None)`))
  }
}

const readStatement = async (
  request: IncomingMessage
): Promise<{ readonly statement: Statement } | { readonly refusal: Answer }> => {
  const body = await readJson(request)
  if ("refusal" in body) return body
  const statement = toStatement(body.json)
  return statement === undefined ? { refusal: UNREADABLE } : { statement }
}

/** The lines before `eoq`, and that, unless the fault cuts it: then the stream ends after some rows. */
const sendRows = (stream: LineStream, lines: ReadonlyArray<string>, eoq: string, fault: Fault | undefined): boolean => {
  if (fault?.do !== "cut-before-eoq") {
    stream.send([...lines, eoq])
    return true
  }
  stream.send(lines.slice(0, fault.rows === undefined ? lines.length : fault.rows + 1))
  stream.end(fault.how ?? "eof", "interrupted")
  return false
}

const queries: Handler = async ({ sending, database }, { fault, request, response, url }) => {
  const params = readParams(url)
  if ("refusal" in params) return send(response, params.refusal)
  const body = await readStatement(request)
  if ("refusal" in body) return send(response, body.refusal)
  try {
    const { columns, rows } = select(database, body.statement)
    const lines = [JSON.stringify({ columns })]
    for (const [index, cells] of rows.entries()) lines.push(`{"row":[${index + 1},${encodeCells(cells)}]}`)
    response.writeHead(200)
    const stream = new LineStream(response, sending)
    if (sendRows(stream, lines, '{"eoq":{"time":5e-8}}', fault)) stream.end("eof")
  } catch (cause) {
    const refused = cause instanceof SqlError && cause.at === "prepare"
    send(response, error(refused ? 400 : 500, refused ? sqlMessage(cause, body.statement.sql) : messageOf(cause)))
  }
}

const listen = (
  { sending }: State,
  { fault, response }: Call,
  listeners: Set<LineStream>,
  headers: Readonly<Record<string, string>>,
  begin: (stream: LineStream, fault: Fault | undefined) => boolean
): void => {
  response.writeHead(200, headers)
  const stream: LineStream = new LineStream(response, sending, () => listeners.delete(stream))
  if (begin(stream, fault)) listeners.add(stream)
}

const join = (state: State, call: Call, subscription: Subscription, start: Start): void =>
  listen(
    state,
    call,
    subscription.listeners,
    { "corro-query-id": subscription.id, "corro-query-hash": subscription.hash },
    (stream, fault) => {
      const { eoq, error: message, lines } = subscription.opening(start)
      if (message !== undefined) {
        stream.end("error", message)
        return false
      }
      if (eoq !== undefined) return sendRows(stream, lines, eoq, fault)
      stream.send(lines)
      return true
    }
  )

const subscribe: Handler = async (state, call) => {
  const start = readParams(call.url)
  if ("refusal" in start) return send(call.response, start.refusal)
  const body = await readStatement(call.request)
  if ("refusal" in body) return send(call.response, body.refusal)
  const { database, hub } = state
  try {
    const sql = Subscription.textOf(database, body.statement)
    const known = hub.bySql(sql)
    if (known !== undefined) join(state, call, known, start)
    else if (start.from === undefined) join(state, call, hub.create(sql), start)
    else throw new Error("a `from` query param was supplied, but no existing subscription found")
  } catch (cause) {
    send(call.response, error(400, sqlMessage(cause, body.statement.sql)))
  }
}

const UUID = /^[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}$/i
const DASHED = /^(.{8})(.{4})(.{4})(.{4})(.{12})$/

const resume: Handler = (state, call) => {
  if (!UUID.test(call.name)) return send(call.response, text(400, "Invalid URL: Cannot parse `id` to a `Uuid`"))
  const start = readParams(call.url)
  if ("refusal" in start) return send(call.response, start.refusal)
  const id = call.name.replaceAll("-", "").toLowerCase().replace(DASHED, "$1-$2-$3-$4-$5")
  const subscription = state.hub.byId(id)
  if (subscription !== undefined) join(state, call, subscription, start)
  else send(call.response, error(404, `could not find subscription with id ${id}`))
}

const updates: Handler = (state, call) => {
  try {
    const target = state.hub.updatesOf(call.name)
    listen(state, call, target.listeners, { "corro-query-id": target.id }, () => true)
  } catch (cause) {
    send(call.response, error(400, messageOf(cause)))
  }
}

const tableStats: Handler = async ({ database }, { request, response }) => {
  const body = await readJson(request)
  if ("refusal" in body) return send(response, body.refusal)
  const names = isObject(body.json) ? body.json["tables"] : undefined
  if (!Array.isArray(names) || !names.every((name) => typeof name === "string")) {
    return send(response, text(422, "Failed to deserialize the JSON body into the target type: missing field `tables`"))
  }
  const valid = names.filter((name) => database.tables.has(name))
  const counts = valid.map((name) => Number(database.rows(`SELECT count(*) FROM ${quote(name)}`)[0]?.[0] ?? 0))
  send(
    response,
    json(200, {
      total_row_count: counts.reduce((sum, count) => sum + count, 0),
      invalid_tables: names.filter((name) => !database.tables.has(name))
    })
  )
}

const health: Handler = ({ healthKnown }, { response }) =>
  healthKnown()
    ? send(response, json(200, { response: { gaps: 0, members: 0, p99_lag: 0.1, queue_size: 0 } }))
    : send(response, error(503, "no p99 lag information available"))

/** An endpoint: the path is exact, or a prefix that a name follows. */
export interface Route {
  readonly endpoint: Endpoint
  readonly method: "GET" | "POST"
  readonly path: string
  readonly named: boolean
  readonly handler: Handler
}

export const routes: ReadonlyArray<Route> = [
  { endpoint: "transactions", method: "POST", path: "/v1/transactions", named: false, handler: transactions },
  { endpoint: "queries", method: "POST", path: "/v1/queries", named: false, handler: queries },
  { endpoint: "subscribe", method: "POST", path: "/v1/subscriptions", named: false, handler: subscribe },
  { endpoint: "resume", method: "GET", path: "/v1/subscriptions/", named: true, handler: resume },
  { endpoint: "updates", method: "POST", path: "/v1/updates/", named: true, handler: updates },
  { endpoint: "table_stats", method: "POST", path: "/v1/table_stats", named: false, handler: tableStats },
  { endpoint: "health", method: "GET", path: "/v1/health", named: false, handler: health }
]

/** The route of a path, whatever the method. */
export const routeOf = (path: string): { readonly route: Route; readonly name: string } | undefined => {
  for (const route of routes) {
    const name = route.named && path.startsWith(route.path) ? decodeURIComponent(path.slice(route.path.length)) : ""
    if (route.named ? name !== "" && !name.includes("/") : path === route.path) return { route, name }
  }
  return undefined
}

/** The answer of a status that was asked for, where the agent has one of its own. */
export const answerOf = (status: number, body: string | undefined, endpoint: Endpoint): Answer => {
  if (body !== undefined) return text(status, body)
  if (status === 503) return text(503, "max concurrency limit reached")
  if (status === 404 && endpoint === "resume") return error(404, "could not find subscription with id")
  if (status === 500 && endpoint === "transactions") {
    return json(500, { results: [{ error: "database is locked" }], time: 0, version: null, actor_id: null })
  }
  return status === 500 ? error(500, "database is locked") : empty(status)
}
