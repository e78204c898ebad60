import type * as schemas from "../api/schemas.ts"
import { affinityWords, noChoiceWords, outWords, refusalWords, tierWords } from "../routing/explanationWords.ts"
import { printable } from "./printable.ts"
import { type Column, textTable } from "./textTable.ts"

type Explanation = typeof schemas.Explanation.Type
type Candidate = Explanation["candidates"]["shown"][number]
type Out = Explanation["out"]["shown"][number]
type Binding = NonNullable<Explanation["binding"]>

const number = (value: number | null): string | null => (value === null ? null : String(Number(value.toPrecision(6))))

const candidateColumns: ReadonlyArray<Column<Candidate>> = [
  { name: "#", show: ({ rank }) => rank, right: true },
  { name: "id", show: ({ id }) => id },
  { name: "app", show: ({ app }) => app },
  { name: "tier", show: ({ tier }) => `${tier} ${tierWords[tier]}` },
  { name: "connections", show: ({ connections }) => connections, right: true },
  { name: "soft", show: ({ soft_limit }) => soft_limit, right: true },
  { name: "hard", show: ({ hard_limit }) => (hard_limit === 0 ? null : hard_limit), right: true },
  { name: "weight", show: ({ weight }) => weight, right: true },
  { name: "load", show: ({ load }) => number(load), right: true },
  { name: "score", show: ({ score }) => number(score), right: true },
  { name: "", show: ({ bound, spilled }) => (bound ? "bound" : spilled ? "at its soft limit" : " ") }
]

const outColumns: ReadonlyArray<Column<Out>> = [
  { name: "id", show: ({ id }) => id },
  { name: "app", show: ({ app }) => app },
  { name: "out because", show: ({ reason }) => outWords[reason] },
  { name: "connections", show: ({ connections }) => connections, right: true }
]

const clientText = ({ address, country, key, region }: Explanation["client"]): string => {
  const whom = key === address ? address : `${address} (as ${key})`
  const where = country === null && region === null ? "in no known place" : `in ${country ?? "?"}, ${region ?? "?"}`
  return `client   ${whom}, ${where}`
}

const bindingText = ({ backend, open_connections: open, seconds_left: left, unused }: Binding): string => {
  const age = left === null ? `${open} open` : `${Math.ceil(left)} s left`
  const use = unused === null ? "used" : `not used: ${outWords[unused]}`
  return `binding  ${backend === null ? "a backend that is gone" : printable(backend)}, ${age}, ${use}`
}

const choiceText = (choice: Explanation["choice"]): string => {
  if (choice.backend !== null) {
    return `choice   ${printable(choice.backend)}, tier ${choice.tier} (${tierWords[choice.tier]}), ${affinityWords[choice.affinity]}`
  }
  return `choice   none: ${noChoiceWords[choice.reason]}; the client would be reset`
}

const nameText = ({ name, refused, routed }: NonNullable<Explanation["sni"]>): string => {
  const where = routed ? "a route leads to the app" : "no route: the app is the listener's"
  return `sni      ${printable(name)}; ${refused ? "no route: the client would be reset" : where}`
}

const cut = (list: { readonly total: number; readonly shown: ReadonlyArray<unknown> }): string =>
  list.shown.length < list.total ? `, ${list.shown.length} shown` : ""

/** D4 for people. */
export const explanationText = (explanation: Explanation): string => {
  const { app, binding, candidates, choice, client, out, panic, pop_region, sni } = explanation
  const head = [
    clientText(client),
    ...(client.refused === null
      ? []
      : [`refused  ${refusalWords[client.refused]}; what follows is how it would be otherwise`]),
    ...(sni === null ? [] : [nameText(sni)]),
    `pop      ${printable(pop_region)}; ${app === null ? "backends of all apps" : `backends of app ${printable(app)}`}`,
    binding === null ? "binding  none" : bindingText(binding),
    choiceText(choice),
    ...(panic ? ["panic    too few backends are up: checks and circuits are ignored"] : [])
  ]
  const parts = [head.join("\n")]
  if (candidates.total > 0) {
    const title = `${candidates.total} candidates, in the order they would be tried${cut(candidates)}`
    parts.push(`${title}\n${textTable(candidates.shown, candidateColumns)}`)
  }
  if (out.total > 0) parts.push(`${out.total} out${cut(out)}\n${textTable(out.shown, outColumns)}`)
  return parts.join("\n\n")
}
