import type { Reading } from "../support/tcp.ts"

export type Side = "client" | "backend"

export const otherSide = (side: Side): Side => (side === "client" ? "backend" : "client")

export type Step =
  | { readonly step: "send"; readonly side: Side; readonly bytes: number }
  | { readonly step: "finish"; readonly side: Side }
  /** Stops or goes on reading. */
  | { readonly step: "pause"; readonly side: Side }
  | { readonly step: "resume"; readonly side: Side }
  /** Waits until the other side has got all that this one has sent, if it reads, and its FIN. */
  | { readonly step: "settle"; readonly side: Side }
  /** Gives the event loop its turn. */
  | { readonly step: "turn" }
  /** A dial that fails, and one that does not. */
  | { readonly step: "refuse" }
  | { readonly step: "bridge"; readonly prelude: number }
  /** The last of a script, if there is one. */
  | { readonly step: "reset"; readonly side: Side }
  | { readonly step: "abort" }

/** What two ends of a connection and the control side do, in this order. */
export interface Script {
  readonly seed: number
  readonly reading: Readonly<Record<Side, Reading>>
  readonly steps: ReadonlyArray<Step>
}

const sizes = [1, 13, 1_460, 4_096, 16_384, 65_535, 65_537, 262_145, 700_000] as const

/** mulberry32: small, and the same everywhere. */
const random = (seed: number): ((below: number) => number) => {
  let state = seed
  return (below) => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below
  }
}

/** `resetsAfterFin`: also a side that has finished may reset. */
export const generate = (seed: number, resetsAfterFin: boolean): Script => {
  const below = random(seed)
  const pick = <A>(from: ReadonlyArray<A>, otherwise: A): A => from[below(from.length)] ?? otherwise
  const reading = (): Reading => (below(4) === 0 ? { bytes: 65_536, ms: 1 } : "fast")
  const readings = { client: reading(), backend: reading() }
  const finished = { client: false, backend: false }
  const steps: Array<Step> = []
  const act = (side: Side): void => {
    const choice = below(12)
    if (choice < 6) {
      if (!finished[side]) steps.push({ step: "send", side, bytes: pick(sizes, 1) })
    } else if (choice < 8) steps.push({ step: "settle", side })
    else if (choice < 10) {
      if (readings[side] === "fast") steps.push({ step: choice === 8 ? "pause" : "resume", side })
    } else if (choice === 10) steps.push({ step: "turn" })
    else if (!finished[side] && below(3) === 0) {
      finished[side] = true
      steps.push({ step: "finish", side })
    }
  }
  for (let early = below(4); early > 0; early--) act("client")
  if (below(4) === 0) steps.push({ step: "refuse" })
  steps.push({ step: "bridge", prelude: below(3) === 0 ? pick([1, 107, 4_096], 1) : 0 })
  for (let count = 4 + below(24); count > 0; count--) act(below(2) === 0 ? "client" : "backend")
  const end = below(10)
  const resetter: Side = below(2) === 0 ? "client" : "backend"
  const mayReset = !(finished.client && finished.backend) && (resetsAfterFin || !finished[resetter])
  if (end < 3 && mayReset) steps.push({ step: "reset", side: resetter })
  else if (end === 3 && !(finished.client && finished.backend)) steps.push({ step: "abort" })
  return { seed, reading: readings, steps }
}

const stepText = (step: Step): string => {
  const side = "side" in step ? ` ${step.side}` : ""
  const size = step.step === "send" ? ` ${step.bytes}` : step.step === "bridge" ? ` after ${step.prelude}` : ""
  return `${step.step}${side}${size}`
}

/** For the one who has to find out what went wrong. */
export const scriptText = ({ reading, seed, steps }: Script): string =>
  `script ${seed}, ${JSON.stringify(reading)}: ${steps.map(stepText).join(", ")}`
