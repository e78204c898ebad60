import type { BackendView } from "../backends/BackendView.ts"
import { formatEndpoint } from "../traffic/Transport.ts"
import * as Changes from "./Changes.ts"
import type { BackendRow, Load } from "./LiveMessage.ts"

/** Backends that are shown at once. */
export const MAX_SHOWN = 1_000

/** Loads that one message tells: a thousand that change all the time take some seconds to be told once. */
export const LOADS_AT_ONCE = 200

/** Carried since its counting began. */
export interface Carried {
  readonly sent: number
  readonly received: number
}

/**
 * The backends that are shown: all of them, or of more than there is room for, those that are in trouble first. One that is
 * shown stays until it leaves the table, or makes room for one in trouble: a list that keeps changing can't be read.
 */
export interface BackendWindow {
  /** A backend of the table, in each round. */
  readonly see: (view: BackendView, carried: Carried) => void
  /**
   * The round is over: whoever was not seen in it has gone. Loads are told of rounds that say how many seconds it is since
   * the last one that did.
   */
  readonly finish: (seconds: number | undefined) => void
  readonly rows: Changes.Changes
  readonly loads: Changes.Changes
  readonly shown: () => number
}

interface Shown {
  readonly slot: string
  /** As last told: most rounds change nothing, and making JSON of it takes longer than looking. */
  row: BackendRow | undefined
  load: Load | undefined
  view: BackendView
  carried: Carried
  before: Carried
  round: number
}

const rowOf = (view: BackendView): BackendRow => [
  view.id,
  view.app,
  view.region,
  view.country ?? null,
  formatEndpoint(view),
  view.state,
  view.circuit,
  view.checkError ?? null,
  view.weight,
  view.softLimit,
  view.hardLimit,
  Math.round(view.share * 100) / 100,
  view.owner ?? null
]

const sameValues = (a: ReadonlyArray<unknown> | undefined, b: ReadonlyArray<unknown>): boolean =>
  a !== undefined && a.every((value, at) => value === b[at])

const isTroubled = ({ state }: BackendView): boolean => state !== "active" && state !== "standby"

/** A record that was given back and taken anew counts from zero. */
const rate = (before: number, now: number, seconds: number): number => Math.max(0, Math.round((now - before) / seconds))

export const make = (most: number = MAX_SHOWN): BackendWindow => {
  const rows = Changes.make()
  const loads = Changes.make()
  const shown = new Map<string, Shown>()
  const freeSlots: Array<string> = []
  /** In trouble, and there was no room. */
  let waiting: Array<[BackendView, Carried]> = []
  let slots = 0
  let round = 0

  const show = (view: BackendView, carried: Carried): void => {
    const slot = freeSlots.pop() ?? `${slots++}`
    shown.set(view.id, { slot, row: undefined, load: undefined, view, carried, before: carried, round })
  }

  const hide = (id: string, { slot }: Shown): void => {
    shown.delete(id)
    rows.drop(slot)
    loads.drop(slot)
    freeSlots.push(slot)
  }

  /** Those without trouble give their places to those in trouble, as far as it goes. */
  const makeRoom = (): void => {
    for (const [id, entry] of shown) {
      if (shown.size + waiting.length <= most) break
      if (!isTroubled(entry.view)) hide(id, entry)
    }
    for (const newcomer of waiting.slice(0, most - shown.size)) show(...newcomer)
    waiting = []
  }

  return {
    see: (view, carried) => {
      const known = shown.get(view.id)
      if (known !== undefined) {
        known.view = view
        known.carried = carried
        known.round = round
      } else if (shown.size < most) show(view, carried)
      else if (isTroubled(view) && waiting.length < most) waiting.push([view, carried])
    },
    finish: (seconds) => {
      for (const [id, entry] of shown) if (entry.round !== round) hide(id, entry)
      makeRoom()
      for (const entry of shown.values()) {
        const { before, carried, slot, view } = entry
        const row = rowOf(view)
        if (!sameValues(entry.row, row)) {
          entry.row = row
          rows.put(slot, JSON.stringify(row))
        }
        if (seconds === undefined) continue
        const load: Load = [
          view.connections,
          rate(before.sent, carried.sent, seconds),
          rate(before.received, carried.received, seconds)
        ]
        if (!sameValues(entry.load, load)) {
          entry.load = load
          loads.put(slot, JSON.stringify(load))
        }
        entry.before = carried
      }
      round++
    },
    rows,
    loads,
    shown: () => shown.size
  }
}
