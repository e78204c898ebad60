import type { Region } from "../domain/Region.ts"
import { type ClientGeo, type Tier, tierOf } from "../domain/Score.ts"
import type { Pool } from "../routing/Pool.ts"
import { type Family, familyOf, type List, type MemberIndexes } from "./MemberIndex.ts"
import { belowLimit, connectionsOf, isOut, takesNewClients, type Upstream } from "../routing/Upstream.ts"

export interface Wish {
  readonly family: Family
  readonly geo: ClientGeo
  /** Only backends of this region. */
  readonly region: Region | undefined
  readonly count: number
}

export interface CandidatesOptions {
  readonly indexes: Pick<MemberIndexes, "get">
  readonly popRegion: Region
  /** May change while it runs. */
  readonly spillAt: () => "hard" | "soft"
  /** From 0 to 1, neither of them. */
  readonly random: () => number
}

/** Finds the backends to answer with, best first; undefined when they are many and not sorted yet. */
export type Candidates = (pool: Pool, wish: Wish) => ReadonlyArray<Upstream> | undefined

interface Found {
  readonly upstream: Upstream
  readonly rank: number
  readonly turn: number
}

/** Lists up to this length are looked at from end to end; of longer ones members are drawn. */
const SHORT = 64

const DRAWS = 32

/** Members looked at one by one when the draws met too few that may be given. */
const LOOKS = 32

/** So that a slow start from nothing is not left out. */
const MIN_SHARE = 1e-3

/** Behind all that are sound: only in a panic. */
const OUT_RANK = 100

/** The first whose weights reach so far. */
const at = ({ members, upTo }: List, weight: number): Upstream | undefined => {
  let low = 0
  let high = upTo.length - 1
  while (low < high) {
    const middle = (low + high) >>> 1
    if ((upTo[middle] ?? 0) <= weight) low = middle + 1
    else high = middle
  }
  return members[low]
}

/**
 * The candidates are those of the router (eligible, sound or in a panic, below the hard limit), nearest tier first. Within
 * a tier the order is random by weight, another one for each question, those at their soft limit behind: what this POP
 * carries says little of clients that go to the backends themselves, and the least loaded first would send all of them to
 * the same one for a TTL.
 *
 * Whether a member may be given is looked at when it is found, so that health and limits count at once; of many, weights as
 * they were when the index was made. Where nearly none of many may be, the router's own trees find one of those.
 */
export const make = ({ indexes, popRegion, random, spillAt }: CandidatesOptions): Candidates => {
  /** Of one that is sound and below its soft limit. */
  const bestRank = (tier: number): number => (spillAt() === "soft" ? tier : tier * 2)

  const rankOf = (upstream: Upstream, tier: Tier, panic: boolean): number | undefined => {
    if (!takesNewClients(upstream) || !belowLimit(upstream)) return undefined
    const out = isOut(upstream)
    if (out && !panic) return undefined
    const over = connectionsOf(upstream) >= upstream.backend.softLimit
    return (out ? OUT_RANK : 0) + bestRank(tier) + (over ? (spillAt() === "soft" ? 4 : 1) : 0)
  }

  /** Of an exponential race, whose order is one of weighted draws (Efraimidis and Spirakis 2006). */
  const race = ({ backend, observed }: Upstream): number =>
    -Math.log(random()) / (backend.weight * Math.max(observed.share, MIN_SHARE))

  return (pool, { count, family, geo, region }) => {
    const found: Array<Found> = []
    const index = indexes.get(pool, family)
    if (index === undefined) return undefined
    const { all, byCountry, byRegion } = index

    // Several backends of one host differ by port, which an address does not tell: the best of them stands for all.
    const isSame = (a: Upstream, b: Upstream): boolean =>
      a === b || (family !== 0 && a.backend.address === b.backend.address)

    const insert = (entry: Found): void => {
      let place = found.length
      while (place > 0) {
        const before = found[place - 1]
        if (before === undefined || before.rank < entry.rank) break
        if (before.rank === entry.rank && before.turn <= entry.turn) break
        place--
      }
      found.splice(place, 0, entry)
      if (found.length > count) found.pop()
    }

    const consider = (upstream: Upstream, turnOf: (upstream: Upstream) => number): void => {
      if (region !== undefined && upstream.backend.region !== region) return
      const rank = rankOf(upstream, tierOf(upstream.backend, geo, popRegion), pool.panic)
      if (rank === undefined) return
      const last = found[count - 1]
      if (last !== undefined && last.rank < rank) return
      const twin = found.findIndex((known) => isSame(known.upstream, upstream))
      if (twin < 0) return insert({ upstream, rank, turn: turnOf(upstream) })
      const known = found[twin]
      const turn = turnOf(upstream)
      if (known === undefined || known.upstream === upstream || known.rank < rank) return
      if (known.rank === rank && known.turn <= turn) return
      found.splice(twin, 1)
      insert({ upstream, rank, turn })
    }

    /** Nobody of this tier would come before those that are found. In a panic it is enough to have found some. */
    const isFull = (tier: number): boolean => {
      const last = found[count - 1]
      return last !== undefined && last.rank % OUT_RANK <= bestRank(tier)
    }

    const take = (list: List, tier: number): void => {
      const { members, upTo } = list
      if (members.length <= SHORT) {
        for (const upstream of members) consider(upstream, race)
        return
      }
      const total = upTo.at(-1) ?? 0
      for (let draw = 0; draw < DRAWS && !isFull(tier); draw++) {
        const upstream = at(list, random() * total)
        // Slow start: as rarely as its share is small.
        if (upstream !== undefined && random() < upstream.observed.share) consider(upstream, () => draw)
      }
      const start = Math.floor(random() * members.length)
      for (let look = 0; look < LOOKS && !isFull(tier); look++) {
        const upstream = members[(start + look) % members.length]
        if (upstream !== undefined) consider(upstream, () => DRAWS + look)
      }
    }

    const widest = region === undefined ? all : byRegion.get(region)
    if (widest === undefined) return []
    const tiers =
      widest.members.length <= SHORT
        ? [widest]
        : [
            geo.country === undefined ? undefined : byCountry.get(geo.country),
            geo.region === undefined ? undefined : byRegion.get(geo.region),
            byRegion.get(popRegion),
            widest
          ]
    for (const [tier, list] of tiers.entries()) {
      const last = found[count - 1]
      if (last !== undefined && last.rank % OUT_RANK < bestRank(tier)) break
      if (list !== undefined && list !== tiers[tier - 1]) take(list, tier)
    }
    if (found.length === 0 && widest.members.length > SHORT) {
      const tree = region === undefined ? pool.all : pool.byRegion.get(region)
      for (let draw = 0; draw < DRAWS && found.length < count; draw++) {
        const upstream = tree?.choose(Math.floor(random() * 0x1_0000_0000))
        if (upstream === undefined) break
        if (family === 0 || family === familyOf(upstream.backend.address)) consider(upstream, () => draw)
      }
    }
    return found.map(({ upstream }) => upstream)
  }
}
