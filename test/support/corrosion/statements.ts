import { error, json, readJson, readParams, send } from "./answer.ts"
import type { Answer } from "./answer.ts"
import { readStatement, sendRows, sqlMessage, UNREADABLE } from "./call.ts"
import type { Handler } from "./call.ts"
import { messageOf, SqlError } from "./Database.ts"
import { encodeCells } from "./json.ts"
import { LineStream } from "./LineStream.ts"
import { execute, select } from "./run.ts"
import { toStatements } from "./statement.ts"

/** POST /v1/transactions */
export const transactions: Handler = async ({ changed, database }, { request, response, url }) => {
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

/** POST /v1/queries */
export const queries: Handler = async ({ sending, database }, { fault, request, response, url }) => {
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
