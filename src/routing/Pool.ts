import * as ChoiceTree from "./ChoiceTree.ts"
import type { Counted, Upstream } from "./Upstream.ts"

/** The candidates of one app, by how they can match a client. */
export interface Pool {
  /** Undefined: the backends of all apps. */
  readonly app: string | undefined
  readonly all: ChoiceTree.ChoiceTree<Upstream>
  readonly byRegion: Map<string, ChoiceTree.ChoiceTree<Upstream>>
  readonly byCountry: Map<string, ChoiceTree.ChoiceTree<Upstream>>
  readonly members: Set<Upstream>
  /** Members that the table wants to take new clients. */
  eligible: number
  /** Those of them of which nothing bad is seen. */
  up: number
  /** So few are up that what is seen of them is ignored (H3). */
  panic: boolean
  /** Grows with every change of its members and of what the table says of them. */
  changes: number
}

export const makeTree = (): ChoiceTree.ChoiceTree<Upstream> => ChoiceTree.make(({ salt }) => salt)

export const make = (app: string | undefined): Pool => ({
  app,
  all: makeTree(),
  byRegion: new Map(),
  byCountry: new Map(),
  members: new Set(),
  eligible: 0,
  up: 0,
  panic: false,
  changes: 0
})

/** Moves a member from one count to another. */
export const recount = (pool: Pool, from: Counted, to: Counted): void => {
  pool.eligible += Number(to !== "not") - Number(from !== "not")
  pool.up += Number(to === "up") - Number(from === "up")
}

/** H3: none is up, or fewer than the threshold asks for. A circuit on trial is not up: it admits a few only. */
export const mustPanic = ({ eligible, up }: Pool, threshold: number): boolean =>
  eligible > 0 && (up === 0 || up < eligible * threshold)
