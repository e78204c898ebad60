import type { LiveView } from "../../../src/dashboard/LiveView.ts"
import { listBackends } from "./backends.ts"
import { drawCharts } from "./charts.ts"
import { attribute, byId, setText } from "./dom.ts"
import { explainBox } from "./explain.ts"
import { duration } from "./format.ts"
import { follow, type Link } from "./live.ts"
import { listActors, listEnds, listEvents, listQuarantined } from "./lists.ts"
import { drawMap } from "./map.ts"
import "./style.css"
import { tiles } from "./tiles.ts"
import * as token from "./token.ts"
import { showVitals } from "./vitals.ts"
import { changes, condition } from "./words.ts"

const news = byId("news", HTMLElement)
const failure = byId("failure", HTMLElement)
const stream = byId("stream", HTMLElement)

/** For those who don't see the page: the others see it happen. */
const say = (text: string): void => setText(news, text)

/** For everybody: what was asked for and has not been done shows nowhere else. */
const complain = (text: string | undefined): void => {
  setText(failure, text ?? "")
  failure.hidden = text === undefined
}

const dialog = token.dialog(() => link.again())

/** Who this POP is, and how it fares. */
const showHead = (): ((view: LiveView) => void) => {
  const identity = byId("identity", HTMLElement)
  const badge = byId("readiness", HTMLElement)
  return ({ at, parts: { pop, readiness } }) => {
    if (pop !== undefined) {
      setText(identity, `${pop.pop} · ${pop.region} · ${pop.version} · up ${duration(at - pop.startedAt)}`)
      document.title = `${pop.pop} · edgeProxy`
    }
    if (readiness === undefined) return
    const { degraded, ready, reasons } = readiness
    const told = (ready ? degraded : reasons).map(condition).join(", ")
    setText(badge, `${ready ? "ready" : "not ready"}${told === "" ? "" : `: ${told}`}`)
    attribute(badge, "data-tone", !ready ? "bad" : degraded.length > 0 ? "warn" : "good")
  }
}

/** Says what becomes of backends, a few at a time: a screen reader can't be asked to read a hundred. */
const announce = (): ((view: LiveView) => void) => {
  let seen: LiveView | undefined
  let last = 0
  return (view) => {
    const latest = view.events.at(-1)?.seq ?? 0
    const isFirst = seen !== view
    seen = view
    const fresh = isFirst ? [] : view.events.filter(({ seq }) => seq > last)
    last = latest
    if (fresh.length === 0) return
    const told = fresh
      .slice(-3)
      .map(({ app, change, id }) => `${id === "" ? `app ${app}` : id} ${changes[change].text}`)
    say(`${told.join(". ")}${fresh.length > 3 ? `. And ${fresh.length - 3} other changes` : ""}`)
  }
}

const updates = [
  showHead(),
  announce(),
  tiles(),
  drawMap(),
  drawCharts(),
  listBackends({ onDenied: dialog.open, say, complain }),
  listEvents(),
  listEnds(),
  listQuarantined(),
  listActors(),
  showVitals()
]
explainBox(dialog.open)

let drawing = false
const draw = (view: LiveView): void => {
  if (drawing) return
  drawing = true
  requestAnimationFrame(() => {
    drawing = false
    for (const update of updates) update(view)
  })
}

const linkTexts = (state: Link): string => {
  switch (state.state) {
    case "lost":
      return "The POP can't be reached. What is shown is how it was; it is tried again."
    case "denied":
      return `This POP does not show itself here: ${state.why}.`
    default:
      return ""
  }
}

const showLink = (state: Link): void => {
  // While it is tried again, what was said of it stays.
  if (state.state === "connecting") return
  const text = linkTexts(state)
  setText(stream, text)
  stream.hidden = text === ""
  attribute(document.body, "data-link", state.state)
  if (state.state === "denied" && state.asksForToken) dialog.open(state.why)
}

const link = follow({ onView: draw, onLink: showLink })
