import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { forEachSliced } from "../actor/Sliced.ts"
import type { Backend } from "../domain/Backend.ts"
import { hashText } from "../domain/Hash.ts"
import { loadOf } from "../domain/Score.ts"
import { BIN } from "../observe/Tallies.ts"
import * as BackendCounters from "./BackendCounters.ts"
import type * as ChoiceTree from "./ChoiceTree.ts"
import { labelOf } from "./HostAddresses.ts"
import * as Pool from "./Pool.ts"
import {
  belowLimit,
  connectionsOf,
  countAs,
  isOut,
  type Observed,
  takesNewClients,
  unobserved,
  type Upstream
} from "./Upstream.ts"

/** Loads from here on are those of backends at their soft limit, when tiers spill there (R6). */
export const OVER_SOFT = 100

/** Loads from here on are those of backends that what is seen of them keeps out; only in a panic they are chosen (H3). */
export const OUT = 1_000

/** Members of a pool whose loads are brought in line with a panic in one turn: a millisecond or two. */
export const EVEN_AT_ONCE = 1_000

/** What has become of a backend or of a pool. Told once for each change, in the turn in which it happens. */
export type Change =
  /** By active checks. */
  | { readonly _tag: "Check"; readonly upstream: Upstream; readonly up: boolean }
  | { readonly _tag: "Circuit"; readonly upstream: Upstream; readonly to: Observed["circuit"]["_tag"] }
  /** It takes new clients from now on, and did not before. */
  | { readonly _tag: "Came"; readonly upstream: Upstream }
  | { readonly _tag: "Panic"; readonly pool: Pool.Pool }
  /** A dial has failed by its fault. */
  | { readonly _tag: "Suspect"; readonly upstream: Upstream }

export interface UpstreamsOptions {
  readonly spillAt: "hard" | "soft"
  /** Share of a pool that must be up, or what is seen of its members is ignored (H3). None up always is too few. */
  readonly panicThreshold?: number
}

/**
 * The backends of the routing table with their live load, indexed for the choice: by app, then country, then region.
 * Everything is synchronous. `RoutingTable` alone puts and drops; leases alone move the counts.
 */
export class Upstreams extends Context.Service<
  Upstreams,
  {
    readonly put: (backend: Backend) => void
    readonly drop: (id: string) => void
    readonly get: (id: string) => Upstream | undefined
    readonly bySeq: (seq: number) => Upstream | undefined
    /** The candidates of an app; of all apps for `undefined` (R8). */
    readonly pool: (app: string | undefined) => Pool.Pool | undefined
    /**
     * In any case, as DNS has names: of ids and apps that differ in nothing else, one is found. In lower case. The addresses
     * of a row that names a host are found by the row's id all, and each by its own label.
     */
    readonly named: (id: string) => Iterable<Upstream>
    readonly poolNamed: (app: string) => Pool.Pool | undefined
    readonly pools: () => Iterable<Pool.Pool>
    /** Takes note of what was seen of a backend: in force when it returns. */
    readonly observe: (upstream: Upstream, seen: Partial<Observed>) => void
    /** A dial has failed by the backend's fault: whoever checks it may want to know. */
    readonly suspect: (upstream: Upstream) => void
    /** Calls whoever wants to know of changes; not to be thrown from. Ends with what it returns. */
    readonly onChange: (listener: (change: Change) => void) => () => void
    /** Grows with every change of the table and of who is up by checks, and with every panic. */
    readonly version: () => number
    /** To be called after any change of an upstream's counts. */
    readonly refresh: (upstream: Upstream) => void
    /** Those in the table, and those that have left it while connections run on them. */
    readonly all: () => Iterable<Upstream>
    readonly counters: BackendCounters.BackendCounters
    readonly setOptions: (options: UpstreamsOptions) => Effect.Effect<void>
  }
>()("edgeproxy/routing/Upstreams") {
  static readonly layer = (options: UpstreamsOptions): Layer.Layer<Upstreams> =>
    Layer.sync(Upstreams, () => make(options))
}

export const make = (initial: UpstreamsOptions): Upstreams["Service"] => {
  let { spillAt } = initial
  let panicThreshold = initial.panicThreshold ?? 0
  let nextSeq = 1
  let version = 0
  const byId = new Map<string, Upstream>()
  const bySeq = new Map<number, Upstream>()
  const everyApp = Pool.make(undefined)
  const byApp = new Map<string, Pool.Pool>()
  /** Names with upper-case letters, by what they are in lower case. */
  const foldedIds = new Map<string, string>()
  /** Of rows that name a host, by the row's id and by their own labels, in lower case. */
  const members = new Map<string, Set<Upstream>>()
  const foldedApps = new Map<string, string>()
  const counters = BackendCounters.make()
  const listeners = new Set<(change: Change) => void>()

  const tell = (change: Change): void => {
    for (const listener of listeners) listener(change)
  }

  const loadNow = (upstream: Upstream): number => {
    if (!takesNewClients(upstream) || !belowLimit(upstream)) return Infinity
    const { softLimit, weight } = upstream.backend
    const load = loadOf(connectionsOf(upstream), softLimit, weight * upstream.observed.share)
    return spillAt === "soft" && connectionsOf(upstream) >= softLimit ? OVER_SOFT + load : load
  }

  /** Brings the trees up to date: all that it stands in, or those of one pool. */
  const update = (upstream: Upstream, only?: Pool.Pool): void => {
    const { backend, observed, places } = upstream
    const load = loadNow(upstream)
    const out = isOut(upstream)
    const weight = backend.weight * observed.share
    for (const { member, pool, tree } of places) {
      if (only === undefined || pool === only) tree.update(member, out && !pool.panic ? OUT + load : load, weight)
    }
  }

  const refresh = (upstream: Upstream): void => {
    update(upstream)
    // Nothing refers to a record that has left the table and carries nothing.
    if (!upstream.listed && connectionsOf(upstream) === 0) forget(upstream)
  }

  const forget = (upstream: Upstream): void => {
    bySeq.delete(upstream.seq)
    if (byId.get(upstream.backend.id) === upstream) byId.delete(upstream.backend.id)
    counters.free(upstream.row)
    upstream.row = BIN
  }

  const poolsOf = (backend: Backend): ReadonlyArray<Pool.Pool> => {
    let pool = byApp.get(backend.app)
    if (pool === undefined) {
      byApp.set(backend.app, (pool = Pool.make(backend.app)))
      fold(foldedApps, backend.app)
    }
    return [everyApp, pool]
  }

  /**
   * Panic or no panic (H3). The loads of all whom it concerns follow: in the same turn, or in slices where there are many.
   * Until then those that are out are chosen last, and when a panic ends some a moment longer than they should.
   */
  const judge = (pool: Pool.Pool): void => {
    const panic = Pool.mustPanic(pool, panicThreshold)
    if (pool.panic === panic) return
    pool.panic = panic
    version++
    if (pool.members.size <= EVEN_AT_ONCE) for (const member of pool.members) if (isOut(member)) update(member, pool)
    tell({ _tag: "Panic", pool })
  }

  const recount = (upstream: Upstream, pools: ReadonlyArray<Pool.Pool>): void => {
    const before = upstream.counted
    const now = countAs(upstream)
    if (before === now) return
    upstream.counted = now
    for (const pool of pools) {
      Pool.recount(pool, before, now)
      judge(pool)
    }
    if (now === "up") tell({ _tag: "Came", upstream })
  }

  const place = (upstream: Upstream): void => {
    const { backend } = upstream
    const pools = poolsOf(backend)
    enlist(upstream)
    for (const pool of pools) {
      pool.changes++
      const add = (tree: ChoiceTree.ChoiceTree<Upstream>): void => {
        upstream.places.push({ pool, tree, member: tree.add(upstream, upstream.hash, Infinity, 0) })
      }
      pool.members.add(upstream)
      add(pool.all)
      add(treeOf(pool.byRegion, backend.region))
      if (backend.country !== undefined) add(treeOf(pool.byCountry, backend.country))
    }
    update(upstream)
    recount(upstream, pools)
  }

  const unplace = (upstream: Upstream): void => {
    const { backend } = upstream
    for (const { member, tree } of upstream.places) tree.remove(member)
    upstream.places = []
    const before = upstream.counted
    upstream.counted = "not"
    delist(upstream)
    for (const pool of poolsOf(backend)) {
      pool.changes++
      pool.members.delete(upstream)
      Pool.recount(pool, before, "not")
      dropEmpty(pool.byRegion, backend.region)
      if (backend.country !== undefined) dropEmpty(pool.byCountry, backend.country)
      judge(pool)
    }
    if (byApp.get(backend.app)?.members.size === 0) {
      byApp.delete(backend.app)
      unfold(foldedApps, backend.app)
    }
  }

  const enlist = (upstream: Upstream): void => {
    const { backend } = upstream
    if (backend.row === undefined) return fold(foldedIds, backend.id)
    for (const name of [backend.row, labelOf(backend)]) {
      const key = name.toLowerCase()
      const known = members.get(key)
      if (known === undefined) members.set(key, new Set([upstream]))
      else known.add(upstream)
    }
  }

  const delist = (upstream: Upstream): void => {
    const { backend } = upstream
    if (backend.row === undefined) return unfold(foldedIds, backend.id)
    for (const name of [backend.row, labelOf(backend)]) {
      const key = name.toLowerCase()
      const known = members.get(key)
      known?.delete(upstream)
      if (known?.size === 0) members.delete(key)
    }
  }

  const get = (id: string): Upstream | undefined => {
    const upstream = byId.get(id)
    return upstream?.listed === true ? upstream : undefined
  }

  return {
    put: (backend) => {
      version++
      const known = byId.get(backend.id)
      if (known === undefined) {
        const seq = nextSeq++
        const hash = hashText(backend.id)
        // In front, since two texts of one hash have one hash with the same ending too.
        const salt = hashText(`#${backend.id}`)
        const row = counters.allocate()
        const upstream: Upstream = {
          seq,
          hash,
          salt,
          backend,
          listed: true,
          live: 0,
          reserved: 0,
          warm: 0,
          observed: unobserved,
          counted: "not",
          row,
          places: []
        }
        byId.set(backend.id, upstream)
        bySeq.set(seq, upstream)
        place(upstream)
        return
      }
      // What was seen was seen of another server, or long ago.
      const another = !known.listed || !sameServer(known.backend, backend)
      if (another) known.observed = unobserved
      // Most changes leave it where it is: weights, limits, health, address.
      if (known.listed && samePlaces(known.backend, backend)) {
        const before = known.counted
        const pools = poolsOf(backend)
        known.backend = backend
        for (const pool of pools) pool.changes++
        update(known)
        recount(known, pools)
        if (another && before === "up" && known.counted === "up") tell({ _tag: "Came", upstream: known })
        return
      }
      if (known.listed) unplace(known)
      known.backend = backend
      known.listed = true
      place(known)
    },
    drop: (id) => {
      const upstream = byId.get(id)
      if (upstream === undefined || !upstream.listed) return
      version++
      unplace(upstream)
      upstream.listed = false
      if (connectionsOf(upstream) === 0) forget(upstream)
    },
    get,
    named: (id) => {
      const found = get(id) ?? get(foldedIds.get(id) ?? id)
      return found === undefined ? (members.get(id) ?? []) : [found]
    },
    poolNamed: (app) => byApp.get(app) ?? byApp.get(foldedApps.get(app) ?? app),
    bySeq: (seq) => bySeq.get(seq),
    pool: (app) => (app === undefined ? everyApp : byApp.get(app)),
    pools: function* () {
      yield everyApp
      yield* byApp.values()
    },
    observe: (upstream, seen) => {
      // Late news of one that has left the table.
      if (!upstream.listed) return
      const before = upstream.observed
      const now = { ...before, ...seen }
      upstream.observed = now
      update(upstream)
      if (before.up !== now.up) {
        version++
        tell({ _tag: "Check", upstream, up: now.up })
      }
      if (before.circuit._tag !== now.circuit._tag) tell({ _tag: "Circuit", upstream, to: now.circuit._tag })
      recount(upstream, poolsOf(upstream.backend))
    },
    suspect: (upstream) => tell({ _tag: "Suspect", upstream }),
    onChange: (listener) => {
      listeners.add(listener)
      return () => void listeners.delete(listener)
    },
    version: () => version,
    refresh,
    all: () => byId.values(),
    counters,
    setOptions: Effect.fnUntraced(function* (next) {
      const spilled = spillAt !== next.spillAt
      spillAt = next.spillAt
      panicThreshold = next.panicThreshold ?? 0
      for (const pool of [everyApp, ...byApp.values()]) judge(pool)
      if (spilled) yield* forEachSliced(Array.from(everyApp.members), (member) => update(member))
    })
  }
}

const fold = (names: Map<string, string>, name: string): void => {
  const lower = name.toLowerCase()
  if (lower !== name) names.set(lower, name)
}

const unfold = (names: Map<string, string>, name: string): void => {
  const lower = name.toLowerCase()
  if (names.get(lower) === name) names.delete(lower)
}

const samePlaces = (a: Backend, b: Backend): boolean =>
  a.app === b.app && a.region === b.region && a.country === b.country

const sameServer = (a: Backend, b: Backend): boolean => a.address === b.address && a.port === b.port

const treeOf = (trees: Map<string, ChoiceTree.ChoiceTree<Upstream>>, key: string): ChoiceTree.ChoiceTree<Upstream> => {
  const known = trees.get(key)
  if (known !== undefined) return known
  const tree = Pool.makeTree()
  trees.set(key, tree)
  return tree
}

const dropEmpty = (trees: Map<string, ChoiceTree.ChoiceTree<Upstream>>, key: string): void => {
  if (trees.get(key)?.size() === 0) trees.delete(key)
}
