import type { LiveView } from "../../../src/dashboard/LiveView.ts"
import { attribute, byId, h, setText } from "./dom.ts"
import { bytes, number } from "./format.ts"
import type { Tone } from "./words.ts"

/** One figure large, and what it is to be seen against. */
interface Figure {
  readonly value: string
  readonly note: string
  readonly tone?: Tone
}

const missing = "–"

const figures: ReadonlyArray<readonly [label: string, read: (view: LiveView) => Figure]> = [
  [
    "Open connections",
    ({ parts: { self }, samples }) => ({
      value: number(samples.at(-1)?.[1] ?? 0),
      note:
        self === undefined ? "" : self.paused === null ? `of ${number(self.connectionLimit)}` : "nobody is accepted",
      ...(self !== undefined && self.paused !== null ? { tone: "bad" as const } : {})
    })
  ],
  [
    "New per second",
    ({ samples }) => ({
      value: number(samples.at(-1)?.[2] ?? 0),
      note: `${number(samples.at(-1)?.[3] ?? 0)} ended`
    })
  ],
  ["To backends", ({ samples }) => ({ value: `${bytes(samples.at(-1)?.[5] ?? 0)}/s`, note: "from clients" })],
  ["From backends", ({ samples }) => ({ value: `${bytes(samples.at(-1)?.[6] ?? 0)}/s`, note: "to clients" })],
  [
    "Backends up",
    ({ parts: { pools } }) => {
      const all = pools?.find(({ app }) => app === null)
      if (all === undefined) return { value: missing, note: "" }
      return {
        value: number(all.up),
        note: `of ${number(all.eligible)} wanted`,
        tone: all.up === 0 && all.eligible > 0 ? "bad" : all.up < all.eligible ? "warn" : "good"
      }
    }
  ],
  [
    "Turned away per second",
    ({ samples }) => {
      const refused = samples.at(-1)?.[4] ?? 0
      return { value: number(refused), note: "before routing", ...(refused > 0 ? { tone: "warn" as const } : {}) }
    }
  ]
]

export const tiles = (): ((view: LiveView) => void) => {
  const place = byId("tiles", HTMLElement)
  const updates = figures.map(([label, read]) => {
    const value = h("p", { class: "figure" }, missing)
    const note = h("p", { class: "note" })
    const tile = h("div", { class: "tile card" }, h("h2", {}, label), value, note)
    place.append(tile)
    return (view: LiveView): void => {
      const figure = read(view)
      setText(value, figure.value)
      setText(note, figure.note)
      attribute(tile, "data-tone", figure.tone)
    }
  })
  return (view) => updates.forEach((update) => update(view))
}
