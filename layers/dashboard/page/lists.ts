import type { BackendEvent } from "../../../src/backends/BackendEvents.ts"
import type { ActorRow, End as Counted } from "../../../src/dashboard/LiveMessage.ts"
import type { LiveView } from "../../../src/dashboard/LiveView.ts"
import { attribute, byId, h, keyed, setText, textRow } from "./dom.ts"
import { duration, number, timeOfDay } from "./format.ts"
import { cause, changes, phase } from "./words.ts"

const EVENTS = 60

const eventRow = (event: BackendEvent) => {
  const { text, tone } = changes[event.change]
  const isPool = event.change.startsWith("panic")
  const name = isPool ? `app ${event.app}` : event.id
  const element = h(
    "li",
    { "data-tone": tone },
    h("time", { datetime: new Date(event.at).toISOString() }, timeOfDay(event.at)),
    h("span", {}, h("b", {}, name), ` ${text}`, event.detail === "" ? undefined : h("small", {}, ` ${event.detail}`))
  )
  return { element, update: () => undefined }
}

export const listEvents = (): ((view: LiveView) => void) => {
  const list = byId("events", HTMLElement)
  const update = keyed(list, ({ at, seq }: BackendEvent) => `${seq} ${at}`, eventRow)
  const empty = h("p", { class: "note" }, "None that is remembered.")
  list.after(empty)
  return ({ events }) => {
    update(events.slice(-EVENTS).toReversed())
    empty.hidden = events.length > 0
    list.hidden = events.length === 0
  }
}

interface End {
  readonly key: string
  readonly by: string
  readonly why: string
  readonly recent: number
  readonly all: number
  /** Not the way a connection should end. */
  readonly bad: boolean
}

const endOf = (key: string, [all, recent]: Counted): End => {
  const [by = "", inPhase = "", code = ""] = key.split(" ")
  const where = phase(inPhase)
  return {
    key,
    by,
    why: where === "" ? cause(code) : `${cause(code)}, ${where}`,
    recent,
    all,
    bad: code !== "fin"
  }
}

export const listEnds = (): ((view: LiveView) => void) => {
  const row = textRow<End>([
    { text: ({ by }) => by },
    { text: ({ why }) => why },
    { number: true, text: ({ recent }) => number(recent) },
    { number: true, text: ({ all }) => number(all) }
  ])
  const update = keyed(
    byId("ends", HTMLElement),
    ({ key }: End) => key,
    (end) => {
      const made = row(end)
      attribute(made.element, "data-tone", end.bad ? "warn" : "good")
      return made
    }
  )
  return (view) => {
    const ends = Array.from(view.ends, ([key, counted]) => endOf(key, counted))
    update(ends.toSorted((a, b) => b.recent - a.recent || b.all - a.all))
  }
}

export const listQuarantined = (): ((view: LiveView) => void) => {
  const list = h("dl")
  const note = h("p", { class: "note" })
  byId("quarantine", HTMLElement).append(note, list)
  const update = keyed(
    list,
    ([id, reason]: readonly [string, string]) => `${id}\n${reason}`,
    ([id, reason]) => ({
      element: h("div", {}, h("dt", {}, id), h("dd", {}, reason)),
      update: () => undefined
    })
  )
  return ({ parts: { quarantined } }) => {
    const { shown = [], total = 0 } = quarantined ?? {}
    update(shown)
    const more = total - shown.length
    setText(
      note,
      total === 0 ? "None: every row of the table is in use." : more > 0 ? `${number(total)}; the first are` : ""
    )
    note.hidden = note.textContent === ""
  }
}

export const listActors = (): ((view: LiveView) => void) => {
  let now = 0
  const row = textRow<ActorRow>([
    { text: ({ name }) => name },
    { text: ({ lastFailure, state }) => (lastFailure === null ? state : `${state}; failed: ${lastFailure.message}`) },
    { number: true, text: ({ restarts }) => number(restarts) },
    { text: ({ startedAt }) => duration(now - startedAt) }
  ])
  const update = keyed(
    byId("actor-rows", HTMLElement),
    ({ name, startedAt }: ActorRow) => `${name} ${startedAt}`,
    (actor) => {
      const made = row(actor)
      return {
        element: made.element,
        update: (actor: ActorRow) => {
          made.update(actor)
          const tone = actor.state === "crash-loop" ? "bad" : actor.restarts > 0 ? "warn" : undefined
          attribute(made.element, "data-tone", tone)
        }
      }
    }
  )
  return ({ at, parts: { actors } }) => {
    now = at
    update(actors?.shown ?? [])
  }
}
