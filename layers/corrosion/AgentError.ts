import * as Data from "effect/Data"
import { SourceError } from "../../src/routing/BackendSource.ts"

/** Why an agent gave no answer, or not the one that was asked for. */
export class AgentError extends Data.TaggedError("AgentError")<{
  /**
   * `unreachable`: no connection, or it broke; `timeout`: no answer in time; `denied`: the token, or an address where no agent
   * is; `schema`: a table or column is missing; `rejected`: understood and refused; `unavailable`: it can't for now;
   * `protocol`: the answer is none.
   */
  readonly kind: "unreachable" | "timeout" | "denied" | "schema" | "rejected" | "unavailable" | "protocol"
  readonly detail: string
}> {
  override get message(): string {
    return `${this.kind}: ${this.detail}`
  }
}

const reasons: Readonly<Record<AgentError["kind"], SourceError["reason"]>> = {
  unreachable: "unreachable",
  timeout: "unreachable",
  denied: "unreadable",
  schema: "schema",
  rejected: "unreadable",
  unavailable: "unreachable",
  protocol: "corrupt"
}

export const sourceError = (target: string, { detail, kind }: AgentError): SourceError =>
  new SourceError({ source: "corrosion", target, reason: reasons[kind], detail })

const MAX_QUOTED = 200

/** What an agent says in its own words, fit for one line of a log. */
export const quoted = (text: string): string => {
  const line = text
    .slice(0, 4 * MAX_QUOTED)
    .replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]+/gu, " ")
    .trim()
  return line.length > MAX_QUOTED ? `${line.slice(0, MAX_QUOTED)}...` : line
}

/** An error in the words of SQLite or of the agent. */
export const sqlFailure = (text: string): AgentError => {
  const detail = quoted(text)
  if (/no such (table|column)|table not found|has no column/i.test(text)) {
    return new AgentError({ kind: "schema", detail })
  }
  if (/interrupted/i.test(text)) return new AgentError({ kind: "timeout", detail })
  if (/\b(locked|busy|disk|full|i\/o|pool)\b/i.test(text)) return new AgentError({ kind: "unavailable", detail })
  return new AgentError({ kind: "rejected", detail })
}

/** The text of `{"error": ...}`, or of the first result that has one. */
const errorIn = (body: string): string | undefined => {
  let value: unknown
  try {
    value = JSON.parse(body)
  } catch {
    return undefined
  }
  const { error, results } = Object(value) as { readonly error?: unknown; readonly results?: unknown }
  if (typeof error === "string") return error
  if (!Array.isArray(results)) return undefined
  const failed = results.find((each) => typeof Object(each).error === "string")
  return failed === undefined ? undefined : String(Object(failed).error)
}

/** What an answer with any status but 200 means. Bodies may be JSON, text or empty. */
export const statusFailure = (status: number, body: string): AgentError => {
  const said = errorIn(body)
  const words = quoted(said ?? body)
  const detail = words === "" ? `HTTP ${status}` : `HTTP ${status}: ${words}`
  if (status === 401 || status === 403)
    return new AgentError({ kind: "denied", detail: `${detail}: wrong or no token` })
  if (status === 404 || status === 405) return new AgentError({ kind: "denied", detail: `${detail}: no Corrosion API` })
  if (status === 421) return new AgentError({ kind: "denied", detail: `${detail}: another endpoint's name` })
  if ((status === 400 || status === 500) && said !== undefined) return sqlFailure(said)
  if (status >= 500 || status === 429) return new AgentError({ kind: "unavailable", detail })
  if (status >= 400) return new AgentError({ kind: "rejected", detail })
  return new AgentError({ kind: "protocol", detail })
}
