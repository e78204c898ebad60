import type { RecordedConnection } from "../../../src/traffic/ConnectionExplanation.ts"
import type { Explanation } from "../../../src/routing/Explanation.ts"
import {
  affinityWords,
  noChoiceWords,
  outWords,
  refusalWords,
  tierWords
} from "../../../src/routing/explanationWords.ts"
import { ask, Refused } from "./api.ts"
import { byId, h } from "./dom.ts"
import { bytes, country, number, regions } from "./format.ts"
import * as token from "./token.ts"
import { cause, phase } from "./words.ts"

const whereOf = ({ country: code, region }: Explanation["client"]): string => {
  if (code === null && region === null) return "in no known place"
  return `in ${code === null ? "an unknown country" : country(code)} (${code ?? "?"}, ${region ?? "?"})`
}

const choiceOf = ({ choice }: Explanation): ReadonlyArray<Node | string> =>
  choice.backend === null
    ? ["would be reset: ", noChoiceWords[choice.reason], "."]
    : [
        "goes to ",
        h("b", {}, choice.backend),
        `: tier ${choice.tier}, ${tierWords[choice.tier]}; ${affinityWords[choice.affinity]}.`
      ]

const bindingOf = ({ binding }: Explanation): string => {
  if (binding === null) return "It has no binding."
  const age =
    binding.seconds_left === null
      ? `${number(binding.open_connections)} open`
      : `${number(Math.ceil(binding.seconds_left))} s left`
  const use = binding.unused === null ? "and it is used" : `but it is not used: ${outWords[binding.unused]}`
  return `It is bound to ${binding.backend ?? "a backend that is gone"} (${age}), ${use}.`
}

const figure = (value: number | null): string => (value === null ? "–" : `${Number(value.toPrecision(5))}`)

const table = (
  caption: string,
  heads: ReadonlyArray<string>,
  rows: ReadonlyArray<ReadonlyArray<string>>
): HTMLElement =>
  h(
    "div",
    { class: "scroll", tabindex: 0, role: "group", "aria-label": caption },
    h(
      "table",
      {},
      h("caption", {}, caption),
      h("thead", {}, h("tr", {}, ...heads.map((head) => h("th", { scope: "col" }, head)))),
      h(
        "tbody",
        {},
        ...rows.map(([first = "", ...rest]) =>
          h("tr", {}, h("th", { scope: "row" }, first), ...rest.map((cell) => h("td", {}, cell)))
        )
      )
    )
  )

const listed = (
  what: string,
  { shown, total }: { readonly shown: ReadonlyArray<unknown>; readonly total: number }
): string => (shown.length < total ? `${number(total)} ${what}, the first ${shown.length}` : `${number(total)} ${what}`)

const render = (explanation: Explanation): ReadonlyArray<Node> => {
  const { app, candidates, client, out, panic, pop_region: region, sni } = explanation
  const as = client.key === client.address ? "" : ` (taken for ${client.key})`
  return [
    h("p", { class: "answer" }, h("b", {}, client.address), `${as}, ${whereOf(client)}, `, ...choiceOf(explanation)),
    ...(client.refused === null
      ? []
      : [h("p", { "data-tone": "bad" }, `But it would not be let in: ${refusalWords[client.refused]}.`)]),
    ...(sni === null
      ? []
      : [
          h("p", { class: "note" }, `It asks for ${sni.name}: ${sni.routed ? "a route leads to the app" : "no route"}.`)
        ]),
    ...(panic ? [h("p", { "data-tone": "bad" }, "Too few backends are up: checks and circuits are ignored.")] : []),
    h(
      "p",
      { class: "note" },
      `${bindingOf(explanation)} This POP is in ${regions[region] ?? region}; ${app === null ? "the backends of all apps count" : `only backends of app ${app} count`}.`
    ),
    ...(candidates.total === 0
      ? []
      : [
          table(
            `${listed("candidates", candidates)}, in the order they would be tried`,
            ["Backend", "Tier", "Connections", "Load", "Score"],
            candidates.shown.map(({ bound, connections, id, load, score, soft_limit, spilled, tier }) => [
              `${id}${bound ? " (bound)" : spilled ? " (at its soft limit)" : ""}`,
              `${tier} ${tierWords[tier]}`,
              `${number(connections)} of ${number(soft_limit)}`,
              figure(load),
              figure(score)
            ])
          )
        ]),
    ...(out.total === 0
      ? []
      : [
          table(
            listed("that are out", out),
            ["Backend", "App", "Out because"],
            out.shown.map(({ app, id, reason }) => [id, app === "" ? "–" : app, outWords[reason]])
          )
        ]),
    h("details", {}, h("summary", {}, "As data"), h("pre", { tabindex: 0 }, JSON.stringify(explanation, null, 2)))
  ]
}

const endOf = ({ end }: RecordedConnection): string => {
  if (end === null) return "It is open."
  const during = phase(end.phase)
  const how = `${cause(end.cause)}${during === "" ? "" : `, ${during}`}`
  return `It ended after ${number(end.duration_ms)} ms: ${end.by}, ${how}; ${bytes(end.bytes_in)} in, ${bytes(end.bytes_out)} out.`
}

/** What was noted down of a connection, then and there. */
const renderRecorded = (recorded: RecordedConnection): ReadonlyArray<Node> => {
  const { client, client_port: port, conn, country: code, decision, failures, listener, sni } = recorded
  const from = `${client} port ${port}${code === null ? "" : ` in ${country(code)}`} on ${listener}`
  const went: ReadonlyArray<Node | string> =
    decision === null
      ? ["went nowhere."]
      : [
          "went to ",
          h("b", {}, decision.backend),
          `: tier ${decision.tier}, ${tierWords[decision.tier]}; ${affinityWords[decision.affinity]}. It had ${number(decision.connections)} connections then, score ${figure(decision.score)}, and was one of ${number(decision.candidates)} candidates, ${number(decision.candidates_up)} of them up.`
        ]
  const failed = failures.map(({ backend, reason }) => `${backend}: ${reason}`)
  return [
    h("p", { class: "answer" }, h("b", {}, conn), `, ${from}${sni === null ? "" : `, asking for ${sni}`}, `, ...went),
    ...(failed.length === 0 ? [] : [h("p", { class: "note" }, `Tried before: ${failed.join("; ")}.`)]),
    h("p", { class: "note" }, endOf(recorded)),
    h("h3", {}, "Where the same client would go now")
  ]
}

/** What is no address is a connection, by its id in the access log or in the list of connections. */
const isAddress = (text: string): boolean => /^[0-9a-f.:%]*[.:][0-9a-f.:%]*$/i.test(text)

const question = (text: string, app: string): string => {
  if (!isAddress(text)) return `/api/v1/connections/${encodeURIComponent(text)}/explain`
  return `/api/v1/explain?${new URLSearchParams({ ip: text, ...(app === "" ? {} : { app }) })}`
}

/** The whole decision for an address, or for a connection, in words and as data. */
export const explainBox = (onDenied: (why: string) => void): void => {
  const [what, app] = [byId("explain-ip", HTMLInputElement), byId("explain-app", HTMLInputElement)]
  const place = byId("explanation", HTMLElement)
  let asked = 0

  const show = (answer: unknown): boolean => {
    // Of the shapes that the API promises.
    const explained = answer as Explanation | { readonly recorded: RecordedConnection; readonly now: Explanation }
    const nodes =
      "recorded" in explained ? [...renderRecorded(explained.recorded), ...render(explained.now)] : render(explained)
    place.replaceChildren(...nodes)
    return true
  }

  byId("explain-form", HTMLFormElement).addEventListener("submit", (event) => {
    event.preventDefault()
    const mine = ++asked
    ask("GET", question(what.value.trim(), app.value.trim())).then(
      (answer) => mine === asked && show(answer),
      (error: unknown) => {
        if (mine !== asked) return
        const refused = error instanceof Refused ? error : new Refused(0, String(error))
        if (token.wouldHelp(refused.status)) onDenied(refused.message)
        place.replaceChildren(h("p", { "data-tone": "bad" }, refused.message))
      }
    )
  })
}
