import type { Backend } from "../domain/Backend.ts"
import type { NoRoute, Route } from "../routing/Router.ts"
import { connectionsOf } from "../routing/Upstream.ts"
import type { Recorded, RecordedLog } from "./RecordedLog.ts"
import type { ReplayedBackend, ReplayedPlace, ReplayReport } from "./ReplayReport.ts"

interface BackendSum {
  before: number
  now: number
  bytes: number
  peak: number
  overSoft: number
  fullAt: number | undefined
}

interface PlaceSum {
  connections: number
  unroutable: number
  readonly to: Map<string, number>
}

const got = <Key, A>(map: Map<Key, A>, key: Key, make: () => A): A => {
  const known = map.get(key)
  if (known !== undefined) return known
  const made = make()
  map.set(key, made)
  return made
}

const count = <Key>(map: Map<Key, number>, key: Key): void => void map.set(key, (map.get(key) ?? 0) + 1)

const isoOf = (ms: number): string => new Date(ms).toISOString()

const placesOf = (sums: ReadonlyMap<string | null, PlaceSum>): ReadonlyArray<ReplayedPlace> =>
  Array.from(sums, ([place, { connections, to, unroutable }]) => ({
    place,
    connections,
    unroutable,
    to: Object.fromEntries(Array.from(to).sort(([, a], [, b]) => b - a))
  })).sort((a, b) => b.connections - a.connections)

type Against = "same" | "moved" | "gained" | "lost" | "none"

const compare = (was: string | undefined, is: string | undefined): Against => {
  if (was === is) return was === undefined ? "none" : "same"
  return was === undefined ? "gained" : is === undefined ? "lost" : "moved"
}

/** Counts where connections go, against where they went. */
export const make = () => {
  const backends = new Map<string, BackendSum>()
  const countries = new Map<string | null, PlaceSum>()
  const regions = new Map<string | null, PlaceSum>()
  const moves = new Map<string | null, Map<string | null, number>>()
  const against: Record<Against, number> = { same: 0, moved: 0, gained: 0, lost: 0, none: 0 }
  const unroutable: Record<NoRoute, number> = { "no-backend": 0, "no-capacity": 0 }
  const tiersThen = [0, 0, 0, 0]
  const tiersNow = [0, 0, 0, 0]
  let routed = 0
  let peak = 0
  let from = Infinity
  let to = -Infinity

  const sumOf = (id: string): BackendSum =>
    got(backends, id, () => ({ before: 0, now: 0, bytes: 0, peak: 0, overSoft: 0, fullAt: undefined }))

  const addPlace = (sums: Map<string | null, PlaceSum>, place: string | null, region: string | undefined): void => {
    const sum = got(sums, place, () => ({ connections: 0, unroutable: 0, to: new Map<string, number>() }))
    sum.connections++
    if (region === undefined) sum.unroutable++
    else count(sum.to, region)
  }

  const addRoute = ({ decision, lease: { upstream } }: Route, { bytes, startMs }: Recorded): void => {
    const sum = sumOf(upstream.backend.id)
    const { hardLimit, softLimit } = upstream.backend
    const connections = connectionsOf(upstream)
    routed++
    sum.now++
    sum.bytes += bytes
    sum.peak = Math.max(sum.peak, connections)
    if (decision.connections >= Math.max(1, softLimit)) sum.overSoft++
    if (connections >= hardLimit) sum.fullAt ??= startMs
    tiersNow[decision.tier] = (tiersNow[decision.tier] ?? 0) + 1
  }

  const add = (recorded: Recorded, route: Route | NoRoute, open: number): void => {
    const { backend: was, endMs, geo, startMs, tier } = recorded
    from = Math.min(from, startMs)
    to = Math.max(to, endMs)
    peak = Math.max(peak, open)
    if (was !== undefined) sumOf(was).before++
    if (was !== undefined && tier !== undefined) tiersThen[tier] = (tiersThen[tier] ?? 0) + 1
    const chosen = typeof route === "string" ? undefined : route.lease.upstream.backend
    if (typeof route === "string") unroutable[route]++
    else addRoute(route, recorded)
    const how = compare(was, chosen?.id)
    against[how]++
    if (how !== "same" && how !== "none") {
      count(
        got(moves, was ?? null, () => new Map<string | null, number>()),
        chosen?.id ?? null
      )
    }
    addPlace(countries, geo.country ?? null, chosen?.region)
    addPlace(regions, geo.region ?? null, chosen?.region)
  }

  const backendOf = (id: string, sum: BackendSum, backend: Backend | undefined): ReplayedBackend => ({
    id,
    region: backend?.region ?? null,
    app: backend?.app ?? null,
    before: sum.before,
    now: sum.now,
    bytes: sum.bytes,
    peak: sum.peak,
    soft_limit: backend?.softLimit ?? null,
    hard_limit: backend === undefined ? null : backend.hardLimit === Infinity ? 0 : backend.hardLimit,
    over_soft: sum.overSoft,
    full_at: sum.fullAt === undefined ? null : isoOf(sum.fullAt)
  })

  const report = (log: RecordedLog, table: ReadonlyMap<string, Backend>): ReplayReport => {
    for (const id of table.keys()) sumOf(id)
    return {
      log: {
        connections: log.size(),
        clients: log.clients(),
        refused: log.counts.refused,
        bad: log.counts.bad,
        from: log.size() === 0 ? null : isoOf(from),
        to: log.size() === 0 ? null : isoOf(to)
      },
      routed,
      unroutable,
      ...against,
      tiers_then: tiersThen,
      tiers_now: tiersNow,
      peak,
      backends: Array.from(backends, ([id, sum]) => backendOf(id, sum, table.get(id))).sort(
        (a, b) => b.now - a.now || b.before - a.before || (a.id < b.id ? -1 : 1)
      ),
      regions: placesOf(regions),
      countries: placesOf(countries),
      moves: Array.from(moves)
        .flatMap(([from, targets]) => Array.from(targets, ([to, connections]) => ({ from, to, connections })))
        .sort((a, b) => b.connections - a.connections)
    }
  }

  return { add, report }
}
