import { empty, error, json, readJson, send, text } from "./answer.ts"
import type { Answer } from "./answer.ts"
import type { Handler } from "./call.ts"
import type { Endpoint } from "./Command.ts"
import { isObject } from "./json.ts"
import { quote } from "./sqlText.ts"
import { queries, transactions } from "./statements.ts"
import { resume, subscribe, updates } from "./streams.ts"

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
