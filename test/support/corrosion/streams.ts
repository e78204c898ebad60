import { error, readParams, send, text } from "./answer.ts"
import { readStatement, sendRows, sqlMessage } from "./call.ts"
import type { Call, Handler, State } from "./call.ts"
import type { Fault } from "./Command.ts"
import { messageOf } from "./Database.ts"
import { LineStream } from "./LineStream.ts"
import { Subscription } from "./Subscription.ts"
import type { Start } from "./Subscription.ts"

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

/** POST /v1/subscriptions */
export const subscribe: Handler = async (state, call) => {
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

/** GET /v1/subscriptions/{id} */
export const resume: Handler = (state, call) => {
  if (!UUID.test(call.name)) return send(call.response, text(400, "Invalid URL: Cannot parse `id` to a `Uuid`"))
  const start = readParams(call.url)
  if ("refusal" in start) return send(call.response, start.refusal)
  const id = call.name.replaceAll("-", "").toLowerCase().replace(DASHED, "$1-$2-$3-$4-$5")
  const subscription = state.hub.byId(id)
  if (subscription !== undefined) join(state, call, subscription, start)
  else send(call.response, error(404, `could not find subscription with id ${id}`))
}

/** POST /v1/updates/{table} */
export const updates: Handler = (state, call) => {
  try {
    const target = state.hub.updatesOf(call.name)
    listen(state, call, target.listeners, { "corro-query-id": target.id }, () => true)
  } catch (cause) {
    send(call.response, error(400, messageOf(cause)))
  }
}
