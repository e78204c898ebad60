import type * as schemas from "../api/schemas.ts"
import { affinityWords, tierWords } from "../routing/explanationWords.ts"
import { explanationText } from "./explanationText.ts"
import { printable } from "./printable.ts"

type Explanation = typeof schemas.ConnectionExplanation.Type
type Recorded = Explanation["recorded"]

const figure = (value: number | null): string => (value === null ? "none" : String(Number(value.toPrecision(6))))

const clientLine = ({ client, client_port: port, country, listener, peer, region, sni }: Recorded): string => {
  const host = client.includes(":") ? `[${client}]` : client
  const where = country === null && region === null ? "in no known place" : `in ${country ?? "?"}, ${region ?? "?"}`
  const via = peer === null ? "" : `, told by ${peer}`
  const name = sni === null ? "" : `, asked for ${printable(sni)}`
  return `client   ${host}:${port}, ${where}, on ${listener}${via}${name}`
}

const decisionLines = ({ decision, failures }: Recorded): ReadonlyArray<string> => {
  if (decision === null) {
    return [`choice   none${failures.length > 0 ? "" : "; it never came to one"}`]
  }
  const { backend, backend_addr: address, candidates, candidates_up: up, connections, panic, tier } = decision
  const hard = decision.hard_limit === 0 ? "no hard limit" : `hard limit ${decision.hard_limit}`
  return [
    `choice   ${printable(backend)} at ${address}, tier ${tier} (${tierWords[tier]}), ${affinityWords[decision.affinity]}`,
    `         it had ${connections} connections (soft limit ${decision.soft_limit}, ${hard}), weight ${figure(decision.weight)}: score ${figure(decision.score)}`,
    `         of ${candidates} candidates, ${up} of them up${panic ? "; too few, so checks and circuits were ignored" : ""}`
  ]
}

const endLine = ({ connect_ms: connectMs, end, state }: Recorded): string => {
  const connected = connectMs === null ? "" : `, dialled in ${figure(connectMs)} ms`
  if (end === null) return `now      ${state}${connected}`
  const { by, bytes_in: bytesIn, bytes_out: bytesOut, cause, duration_ms: ms, phase, ts } = end
  return `end      ${ts}: by ${by}, in ${phase}, ${cause}; after ${figure(ms)} ms${connected}, ${bytesIn} B in, ${bytesOut} B out`
}

/** D4 of a connection, for people: what was noted down, then what is so now. */
export const connectionExplanationText = ({ now, recorded }: Explanation): string => {
  const lines = [
    `conn     ${recorded.conn}${recorded.trace_id === null ? "" : `, trace ${recorded.trace_id}`}`,
    clientLine(recorded),
    ...recorded.failures.map(
      ({ address, backend, reason }) => `failed   ${printable(backend)} at ${address}: ${reason}`
    ),
    ...decisionLines(recorded),
    endLine(recorded)
  ]
  return `As it was noted down then\n${lines.join("\n")}\n\nWhere the same client would go now\n${explanationText(now)}`
}
