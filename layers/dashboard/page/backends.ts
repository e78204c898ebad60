import type { BackendRow, Load } from "../../../src/dashboard/LiveMessage.ts"
import type { LiveView } from "../../../src/dashboard/LiveView.ts"
import { ask, Refused } from "./api.ts"
import { attribute, byId, h, keyed, setText } from "./dom.ts"
import { bytes, number, percent } from "./format.ts"
import * as token from "./token.ts"
import { stateOrder, states } from "./words.ts"

/** A backend with what it carries. */
interface Entry {
  readonly row: BackendRow
  readonly load: Load
}

/** Rows drawn at once; more on demand. */
const PAGE = 100

const noLoad: Load = [0, 0, 0]

interface Column {
  readonly name: string
  readonly label: string
  readonly class?: string
  /** What it is ordered by; text ascending, numbers descending first. */
  readonly order: (entry: Entry) => number | string
}

const columns: ReadonlyArray<Column> = [
  { name: "state", label: "State", order: ({ row }) => stateOrder.indexOf(row[5]) },
  { name: "id", label: "Id", order: ({ row }) => row[0] },
  { name: "app", label: "App", class: "wide", order: ({ row }) => row[1] },
  { name: "region", label: "Region", class: "wide", order: ({ row }) => `${row[2]} ${row[3] ?? ""}` },
  { name: "address", label: "Address", class: "wider", order: ({ row }) => row[4] },
  { name: "connections", label: "Connections", order: ({ load }) => -load[0] },
  { name: "traffic", label: "To / from", class: "wide number", order: ({ load }) => -(load[1] + load[2]) },
  { name: "weight", label: "Weight", class: "wider number", order: ({ row }) => -row[8] }
]

/** Why it is as it is, in words; "" when there is nothing to say. */
const whyOf = ([, , , , , state, circuit, why, , , , share]: BackendRow): string => {
  const parts = [
    state === "down" ? (why ?? states.down.why) : states[state].why,
    circuit !== "closed" && !state.startsWith("circuit") ? `circuit ${circuit}` : "",
    share < 1 && state === "active" ? `starting slowly: ${percent(share)} of its weight` : ""
  ]
  return parts.filter((part) => part !== "").join("; ")
}

export interface BackendsOptions {
  /** The API wants a token for what was asked. */
  readonly onDenied: (why: string) => void
  readonly say: (text: string) => void
  /** Of what was asked for and has not been done; undefined: of nothing any more. */
  readonly complain: (text: string | undefined) => void
}

const drainButton = ({ complain, onDenied, say }: BackendsOptions, id: string) => {
  const button = h("button", { type: "button" })
  let draining = false
  button.addEventListener("click", () => {
    const act = draining ? "undrain" : "drain"
    button.disabled = true
    complain(undefined)
    ask("POST", `/api/v1/backends/${encodeURIComponent(id)}/${act}`)
      .then(
        () => say(draining ? `${id} takes clients again` : `${id} takes no new clients`),
        (error: unknown) => {
          const refused = error instanceof Refused ? error : new Refused(0, String(error))
          if (token.wouldHelp(refused.status)) onDenied(refused.message)
          else complain(`${id} was not changed: ${refused.message}`)
        }
      )
      .finally(() => {
        button.disabled = false
        button.focus()
      })
  })
  return {
    element: button,
    update: (isDraining: boolean): void => {
      draining = isDraining
      setText(button, draining ? "Undrain" : "Drain")
      attribute(button, "aria-label", `${draining ? "Undrain" : "Drain"} ${id}`)
    }
  }
}

const makeRow =
  (options: BackendsOptions) =>
  ({ row: [id] }: Entry) => {
    const state = h("span", { class: "badge" })
    const why = h("small", { class: "why" })
    const [app, region, address] = [
      h("td", { class: "wide" }),
      h("td", { class: "wide" }),
      h("td", { class: "wider mono" })
    ]
    const [count, limit] = [h("b"), h("small")]
    const bar = h("span", { class: "bar" }, h("i"))
    const [traffic, weight] = [h("td", { class: "wide number" }), h("td", { class: "wider number" })]
    const owner = h("small")
    const drain = drainButton(options, id)
    const element = h(
      "tr",
      {},
      h("td", {}, state),
      h("th", { scope: "row" }, h("span", { class: "id" }, id), owner, why),
      app,
      region,
      address,
      h("td", { class: "load" }, h("span", {}, count, limit), bar),
      traffic,
      weight,
      h("td", { class: "act" }, drain.element)
    )
    const fill = bar.firstElementChild
    return {
      element,
      update: ({ load, row }: Entry): void => {
        const [, inApp, inRegion, country, at, now, , , weightOf, soft, hard, , ownerOf] = row
        setText(state, states[now].label)
        attribute(state, "data-tone", states[now].tone)
        setText(why, whyOf(row))
        setText(app, inApp === "" ? "–" : inApp)
        setText(region, country === null ? inRegion : `${inRegion} ${country}`)
        setText(address, at)
        const full = hard > 0 && load[0] >= hard
        setText(count, number(load[0]))
        setText(limit, full ? " full" : ` of ${number(soft)}${hard > 0 ? `, at most ${number(hard)}` : ""}`)
        const share = load[0] / Math.max(1, hard > 0 ? hard : soft)
        if (fill instanceof HTMLElement) fill.style.width = `${Math.min(100, share * 100).toFixed(1)}%`
        attribute(bar, "data-tone", full ? "bad" : load[0] > soft ? "warn" : "good")
        setText(traffic, load[1] + load[2] === 0 ? "–" : `${bytes(load[1])} / ${bytes(load[2])}`)
        setText(weight, number(weightOf))
        setText(owner, ownerOf === null ? "" : ` registered at ${ownerOf}`)
        drain.update(now === "draining")
      }
    }
  }

const compare = (a: number | string, b: number | string): number =>
  typeof a === "number" && typeof b === "number" ? a - b : `${a}`.localeCompare(`${b}`, "en", { numeric: true })

export const listBackends = (options: BackendsOptions): ((view: LiveView) => void) => {
  const text = byId("filter-text", HTMLInputElement)
  const stateFilter = byId("filter-state", HTMLSelectElement)
  const counts = byId("backend-counts", HTMLElement)
  const more = byId("backend-more", HTMLElement)
  const panic = byId("panic", HTMLElement)
  const showMore = h("button", { type: "button" }, "Show more")
  const moreText = h("span")
  let column = columns[0]
  let descending = false
  let most = PAGE
  let last: LiveView | undefined

  stateFilter.append(h("option", { value: "" }, "any"))
  for (const state of stateOrder) stateFilter.append(h("option", { value: state }, states[state].label))
  more.append(moreText, showMore)

  const heads = columns.map((each) => {
    const button = h("button", { type: "button" }, each.label)
    const head = h("th", { scope: "col", class: each.class }, button)
    button.addEventListener("click", () => {
      descending = column === each && !descending
      column = each
      draw()
    })
    return { each, head }
  })
  byId("backend-head", HTMLElement).append(
    h("tr", {}, ...heads.map(({ head }) => head), h("th", { scope: "col" }, h("span", { class: "hidden" }, "Action")))
  )
  const update = keyed(byId("backend-rows", HTMLElement), ({ row }: Entry) => row[0], makeRow(options))

  const isWanted = ([id, app, region, country, address, state]: BackendRow): boolean => {
    const wanted = text.value.trim().toLowerCase()
    if (stateFilter.value !== "" && state !== stateFilter.value) return false
    return (
      wanted === "" || [id, app, region, country ?? "", address].some((part) => part.toLowerCase().includes(wanted))
    )
  }

  const draw = (): void => {
    const view = last
    if (view === undefined || column === undefined) return
    const { order } = column
    const sign = descending ? -1 : 1
    const entries = Array.from(view.backends, ([slot, row]): Entry => ({ row, load: view.loads.get(slot) ?? noLoad }))
      .filter(({ row }) => isWanted(row))
      .toSorted((a, b) => sign * compare(order(a), order(b)) || compare(a.row[0], b.row[0]))
    update(entries.slice(0, most))
    for (const { each, head } of heads) {
      attribute(head, "aria-sort", each !== column ? undefined : descending ? "descending" : "ascending")
    }
    const { pools = [], states: byState = {}, table } = view.parts
    const told = stateOrder.flatMap((state) => {
      const count = byState[state] ?? 0
      return count === 0 ? [] : [`${number(count)} ${states[state].label}`]
    })
    setText(counts, told.length === 0 ? "none yet" : told.toReversed().join(", "))
    const hidden = entries.length - most
    const untold = table === undefined ? 0 : table.backends - table.shown
    const notes = [
      ...(hidden > 0 ? [`${number(hidden)} more fit. `] : []),
      ...(untold > 0
        ? [`${number(untold)} others are in the table and not told here; those in trouble come first. `]
        : []),
      ...(entries.length === 0 && view.backends.size > 0 ? ["None fits."] : [])
    ]
    setText(moreText, notes.join(""))
    showMore.hidden = hidden <= 0
    const panicking = pools.filter((pool) => pool.panic).map(({ app }) => (app === null ? "all apps" : `app ${app}`))
    panic.hidden = panicking.length === 0
    setText(
      panic,
      panicking.length === 0
        ? ""
        : `Too few backends are up of ${panicking.join(", ")}: checks and circuits are ignored.`
    )
  }

  showMore.addEventListener("click", () => {
    most += PAGE
    draw()
  })
  byId("filter", HTMLFormElement).addEventListener("submit", (event) => event.preventDefault())
  for (const field of [text, stateFilter]) field.addEventListener("input", draw)

  return (view) => {
    last = view
    draw()
  }
}
