import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import { forEachSliced } from "../actor/Sliced.ts"
import type { Country, Region } from "../domain/Region.ts"
import type { Pool } from "../routing/Pool.ts"
import { takesNewClients, type Upstream } from "../routing/Upstream.ts"

/** Which addresses are wanted, by their bytes; 0 wants all. */
export type Family = 0 | 4 | 16

/** Members, and their weights for draws. */
export interface List {
  readonly members: Array<Upstream>
  /** Of each member: its weight and those of all before it. */
  readonly upTo: Array<number>
}

/** The members of a pool with addresses of one family, as the table has them. */
export interface Index {
  readonly all: List
  readonly byRegion: Map<Region, List>
  readonly byCountry: Map<Country, List>
}

export interface MemberIndexes {
  /**
   * As of now; of more than {@link MANY} members perhaps as of a second ago, and none when they were never asked for: then it is
   * being made.
   */
  readonly get: (pool: Pool, family: Family) => Index | undefined
  /** Makes those of many members, as they are asked for, without keeping others waiting. */
  readonly work: Effect.Effect<never>
}

interface Entry {
  /** Of the pool, when it was made. */
  readonly changes: number
  readonly index: Index
}

interface Wanted {
  readonly pool: Pool
  readonly family: Family
}

/** More members than this take longer than a few milliseconds. */
export const MANY = 5_000

/** Between two indexes of one pool that changes all the time. */
const PAUSE_MS = 1_000

const emptyList = (): List => ({ members: [], upTo: [] })

const emptyIndex = (): Index => ({ all: emptyList(), byRegion: new Map(), byCountry: new Map() })

const listAt = <K>(lists: Map<K, List>, key: K): List => {
  let list = lists.get(key)
  if (list === undefined) lists.set(key, (list = emptyList()))
  return list
}

const addTo = ({ members, upTo }: List, upstream: Upstream): void => {
  upTo.push((upTo[members.length - 1] ?? 0) + upstream.backend.weight)
  members.push(upstream)
}

export const familyOf = (address: string): Family => (address.includes(":") ? 16 : 4)

const enter = (index: Index, upstream: Upstream, family: Family): void => {
  const { backend } = upstream
  if (!takesNewClients(upstream) || (family !== 0 && family !== familyOf(backend.address))) return
  addTo(index.all, upstream)
  addTo(listAt(index.byRegion, backend.region), upstream)
  if (backend.country !== undefined) addTo(listAt(index.byCountry, backend.country), upstream)
}

export const make = (): MemberIndexes => {
  const made = new WeakMap<Pool, Map<Family, Entry>>()
  const wanted = new Map<Pool, Set<Family>>()
  const asked = Latch.makeUnsafe(false)

  const entriesOf = (pool: Pool): Map<Family, Entry> => {
    let entries = made.get(pool)
    if (entries === undefined) made.set(pool, (entries = new Map()))
    return entries
  }

  const want = (pool: Pool, family: Family): void => {
    const families = wanted.get(pool)
    if (families === undefined) wanted.set(pool, new Set([family]))
    else families.add(family)
    asked.openUnsafe()
  }

  const makeSliced = Effect.fnUntraced(function* ({ family, pool }: Wanted) {
    const { changes } = pool
    const index = emptyIndex()
    yield* forEachSliced(Array.from(pool.members), (upstream) => enter(index, upstream, family))
    entriesOf(pool).set(family, { changes, index })
  })

  return {
    get: (pool, family) => {
      const entries = entriesOf(pool)
      const entry = entries.get(family)
      if (entry !== undefined && entry.changes === pool.changes) return entry.index
      if (pool.members.size > MANY) {
        want(pool, family)
        return entry?.index
      }
      const index = emptyIndex()
      for (const upstream of pool.members) enter(index, upstream, family)
      entries.set(family, { changes: pool.changes, index })
      return index
    },
    work: Effect.forever(
      Effect.gen(function* () {
        yield* asked.await
        asked.closeUnsafe()
        const pass = Array.from(wanted, ([pool, families]) =>
          Array.from(families, (family) => ({ family, pool }))
        ).flat()
        wanted.clear()
        for (const each of pass) yield* makeSliced(each)
        yield* Effect.sleep(PAUSE_MS)
      })
    )
  }
}
