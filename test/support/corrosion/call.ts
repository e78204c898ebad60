import type { IncomingMessage, ServerResponse } from "node:http"
import { readJson, text } from "./answer.ts"
import type { Answer } from "./answer.ts"
import type { Fault } from "./Command.ts"
import { messageOf } from "./Database.ts"
import type { Database, Touched } from "./Database.ts"
import type { Hub } from "./Hub.ts"
import type { LineStream, Sending } from "./LineStream.ts"
import { toStatement } from "./statement.ts"
import type { Statement } from "./statement.ts"

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

/** Answers a request. */
export type Handler = (state: State, call: Call) => Promise<void> | void

/** The refusal of JSON that is no statement. */
export const UNREADABLE = text(
  422,
  "Failed to deserialize the JSON body into the target type: data did not match any variant of untagged enum Statement"
)

/** SQLite's words as the agent gives them for a statement that does not compile. */
export const sqlMessage = (cause: unknown, sql: string): string => {
  const message = messageOf(cause)
  const name = /no such (?:table|column): (\S+)|near "([^"]*)"/.exec(message)
  if (name === null) return message
  return `${message} in ${sql} at offset ${Math.max(0, sql.indexOf(name[1] ?? name[2] ?? ""))}`
}

/** The statement in a body, or its refusal. */
export const readStatement = async (
  request: IncomingMessage
): Promise<{ readonly statement: Statement } | { readonly refusal: Answer }> => {
  const body = await readJson(request)
  if ("refusal" in body) return body
  const statement = toStatement(body.json)
  return statement === undefined ? { refusal: UNREADABLE } : { statement }
}

/** Sends the lines and `eoq`. When a fault cuts it, the stream ends after some rows instead: false then. */
export const sendRows = (
  stream: LineStream,
  lines: ReadonlyArray<string>,
  eoq: string,
  fault: Fault | undefined
): boolean => {
  if (fault?.do !== "cut-before-eoq") {
    stream.send([...lines, eoq])
    return true
  }
  stream.send(lines.slice(0, fault.rows === undefined ? lines.length : fault.rows + 1))
  stream.end(fault.how ?? "eof", "interrupted")
  return false
}
