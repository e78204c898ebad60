/** What became of everything that was done, and what of it ought not to have happened. */
export interface Ledger {
  readonly count: (what: string) => void
  readonly wrong: (what: string) => void
  readonly counts: ReadonlyMap<string, number>
  /** The first ones in words. */
  readonly wrongs: ReadonlyArray<string>
  readonly wrongCount: () => number
  /** A backend is being killed; what it calls at the end says that it is gone. */
  readonly killing: (name: string) => () => void
  /** A connection of that time may have been lost with its backend, which is not known when it has not said its name. */
  readonly excuses: (backend: string, startedAt: number, endedAt: number) => boolean
}

interface Killing {
  readonly name: string
  readonly from: number
  to: number
}

const SHOWN = 50

export const make = (): Ledger => {
  const counts = new Map<string, number>()
  const wrongs: Array<string> = []
  const killings: Array<Killing> = []
  let wrongCount = 0
  return {
    count: (what) => void counts.set(what, (counts.get(what) ?? 0) + 1),
    wrong: (what) => {
      wrongCount++
      if (wrongs.length < SHOWN) wrongs.push(`${new Date().toISOString()} ${what}`)
    },
    counts,
    wrongs,
    wrongCount: () => wrongCount,
    killing: (name) => {
      const killing: Killing = { name, from: performance.now(), to: Infinity }
      killings.push(killing)
      return () => void (killing.to = performance.now())
    },
    excuses: (backend, startedAt, endedAt) =>
      killings.some(({ from, name, to }) => (backend === "" || backend === name) && startedAt <= to && endedAt >= from)
  }
}
