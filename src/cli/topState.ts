import type { UserInput } from "effect/Terminal"
import * as Option from "effect/Option"

/** What a person at `edgeproxy top` has chosen, and what a key does to it. Pure. */
export interface TopState {
  readonly list: "connections" | "backends"
  /** Number of the column that orders each list. */
  readonly sort: Readonly<Record<TopState["list"], number>>
  readonly filter: string
  /** Id of the marked row. */
  readonly selected: string | undefined
  readonly mode:
    | { readonly _tag: "Watch" }
    | { readonly _tag: "Filter" }
    | { readonly _tag: "Confirm"; readonly action: TopAction; readonly question: string }
  readonly paused: boolean
  /** What came of the last action. */
  readonly message: string
}

export type TopAction =
  | { readonly _tag: "Kill"; readonly id: string }
  | { readonly _tag: "Drain"; readonly id: string; readonly draining: boolean }

export interface Pressed {
  readonly state: TopState
  readonly action?: TopAction
  readonly quit?: boolean
}

export const start: TopState = {
  list: "connections",
  sort: { connections: 0, backends: 0 },
  filter: "",
  selected: undefined,
  mode: { _tag: "Watch" },
  paused: false,
  message: ""
}

const watch: TopState["mode"] = { _tag: "Watch" }

/** Rows on screen: their ids in order, how many of them fit, and what is to be said of one before something is done to it. */
export interface Rows {
  readonly ids: ReadonlyArray<string>
  readonly page: number
  readonly describe: (id: string) => string
}

const MAX_FILTER = 60

const move = (state: TopState, { ids }: Rows, by: number): TopState => {
  const at = state.selected === undefined ? -1 : ids.indexOf(state.selected)
  const next = at < 0 ? (by < 0 ? ids.length - 1 : 0) : Math.min(ids.length - 1, Math.max(0, at + by))
  return { ...state, selected: ids[next] }
}

const inFilter = (state: TopState, { input, key }: UserInput): TopState => {
  if (key.name === "return" || key.name === "enter") return { ...state, mode: watch }
  if (key.name === "backspace") return { ...state, filter: Array.from(state.filter).slice(0, -1).join("") }
  if (key.ctrl && key.name === "u") return { ...state, filter: "" }
  const text = Option.getOrElse(input, () => "")
  // A key of the keyboard, not a sequence that stands for another one.
  if (key.ctrl || key.meta || text === "" || /\p{C}/u.test(text)) return state
  return { ...state, filter: `${state.filter}${text}`.slice(0, MAX_FILTER) }
}

const ask = (state: TopState, rows: Rows, make: (id: string) => TopAction, verb: string): TopState => {
  const id = state.selected
  if (id === undefined || !rows.ids.includes(id)) return { ...state, message: "mark a row first, with the arrow keys" }
  return { ...state, mode: { _tag: "Confirm", action: make(id), question: `${verb} ${rows.describe(id)}? (y/n)` } }
}

const inWatch = (before: TopState, { input, key }: UserInput, rows: Rows, columns: number): Pressed => {
  const state = { ...before, message: "" }
  const { list, sort } = state
  const sorted = (by: number): Pressed => ({
    state: { ...state, sort: { ...sort, [list]: (sort[list] + by + columns) % columns } }
  })
  const to = (list: TopState["list"]): Pressed => ({ state: { ...state, list, selected: undefined } })
  switch (key.name) {
    case "up":
      return { state: move(state, rows, -1) }
    case "down":
      return { state: move(state, rows, 1) }
    case "pageup":
      return { state: move(state, rows, -rows.page) }
    case "pagedown":
      return { state: move(state, rows, rows.page) }
    case "home":
      return { state: { ...state, selected: rows.ids[0] } }
    case "end":
      return { state: { ...state, selected: rows.ids.at(-1) } }
    case "left":
      return sorted(-1)
    case "right":
      return sorted(1)
    case "tab":
      return to(list === "connections" ? "backends" : "connections")
  }
  switch (Option.getOrElse(input, () => "")) {
    case "q":
      return { state, quit: true }
    case "c":
      return to("connections")
    case "b":
      return to("backends")
    case "s":
      return sorted(1)
    case "S":
      return sorted(-1)
    case "/":
      return { state: { ...state, mode: { _tag: "Filter" } } }
    case "p":
      return { state: { ...state, paused: !state.paused } }
    case "k":
      if (list !== "connections") return { state: { ...state, message: "only connections can be killed" } }
      return { state: ask(state, rows, (id) => ({ _tag: "Kill", id }), "Kill") }
    case "d":
    case "u": {
      if (list !== "backends") return { state: { ...state, message: "only backends can be drained" } }
      const draining = Option.contains(input, "d")
      return { state: ask(state, rows, (id) => ({ _tag: "Drain", id, draining }), draining ? "Drain" : "Undrain") }
    }
    default:
      return { state }
  }
}

/** `columns`: how many the shown list has. */
export const press = (state: TopState, input: UserInput, rows: Rows, columns: number): Pressed => {
  switch (state.mode._tag) {
    case "Filter":
      return { state: inFilter(state, input) }
    case "Confirm": {
      const { action } = state.mode
      // Nothing but a clear yes.
      return Option.contains(input.input, "y")
        ? { state: { ...state, mode: watch }, action }
        : { state: { ...state, mode: watch } }
    }
    case "Watch":
      return inWatch(state, input, rows, columns)
  }
}
