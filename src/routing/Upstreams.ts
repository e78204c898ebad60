import * as Context from "effect/Context"
import * as Layer from "effect/Layer"
import type { Backend } from "../domain/Backend.ts"
import { hashText } from "../domain/Hash.ts"
import { loadOf } from "../domain/Score.ts"
import { BIN } from "../observe/Tallies.ts"
import * as BackendCounters from "./BackendCounters.ts"
import * as ChoiceTree from "./ChoiceTree.ts"
import { connectionsOf, hasRoom, takesNewClients, type Upstream } from "./Upstream.ts"

/** Loads from here on are those of backends at their soft limit, when tiers spill there (R6). */
export const OVER_SOFT = 100

/** The candidates of one app, by how they can match a client. */
export interface Pool {
  readonly all: ChoiceTree.ChoiceTree<Upstream>
  readonly byRegion: Map<string, ChoiceTree.ChoiceTree<Upstream>>
  readonly byCountry: Map<string, ChoiceTree.ChoiceTree<Upstream>>
  readonly members: Set<Upstream>
  /** Members that may take new clients, whether or not they have room. */
  eligible: number
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
    readonly pool: (app: string | undefined) => Pool | undefined
    /** To be called after any change of an upstream's counts. */
    readonly refresh: (upstream: Upstream) => void
    /** Those in the table, and those that have left it while connections run on them. */
    readonly all: () => Iterable<Upstream>
    readonly counters: BackendCounters.BackendCounters
  }
>()("edgeproxy/routing/Upstreams") {
  static readonly layer = (options: { readonly spillAt: "hard" | "soft" }): Layer.Layer<Upstreams> =>
    Layer.sync(Upstreams, () => make(options))
}

const makeTree = (): ChoiceTree.ChoiceTree<Upstream> => ChoiceTree.make(({ salt }) => salt)

const makePool = (): Pool => ({
  all: makeTree(),
  byRegion: new Map(),
  byCountry: new Map(),
  members: new Set(),
  eligible: 0
})

export const make = (options: { readonly spillAt: "hard" | "soft" }): Upstreams["Service"] => {
  const spillAtSoft = options.spillAt === "soft"
  let nextSeq = 1
  const byId = new Map<string, Upstream>()
  const bySeq = new Map<number, Upstream>()
  const everyApp = makePool()
  const byApp = new Map<string, Pool>()
  const counters = BackendCounters.make()

  const loadNow = (upstream: Upstream): number => {
    if (!takesNewClients(upstream) || !hasRoom(upstream)) return Infinity
    const { softLimit, weight } = upstream.backend
    const load = loadOf(connectionsOf(upstream), softLimit, weight)
    return spillAtSoft && connectionsOf(upstream) >= softLimit ? OVER_SOFT + load : load
  }

  const refresh = (upstream: Upstream): void => {
    const load = loadNow(upstream)
    for (const place of upstream.places) place.tree.update(place.member, load, upstream.backend.weight)
    // Nothing refers to a record that has left the table and carries nothing.
    if (!upstream.listed && connectionsOf(upstream) === 0) forget(upstream)
  }

  const forget = (upstream: Upstream): void => {
    bySeq.delete(upstream.seq)
    if (byId.get(upstream.backend.id) === upstream) byId.delete(upstream.backend.id)
    counters.free(upstream.row)
    upstream.row = BIN
  }

  const poolsOf = (backend: Backend): ReadonlyArray<Pool> => {
    let pool = byApp.get(backend.app)
    if (pool === undefined) byApp.set(backend.app, (pool = makePool()))
    return [everyApp, pool]
  }

  const place = (upstream: Upstream): void => {
    const { backend } = upstream
    const load = loadNow(upstream)
    const add = (tree: ChoiceTree.ChoiceTree<Upstream>): void => {
      upstream.places.push({ tree, member: tree.add(upstream, upstream.hash, load, backend.weight) })
    }
    for (const pool of poolsOf(backend)) {
      pool.members.add(upstream)
      if (takesNewClients(upstream)) pool.eligible++
      add(pool.all)
      add(treeOf(pool.byRegion, backend.region))
      if (backend.country !== undefined) add(treeOf(pool.byCountry, backend.country))
    }
  }

  const unplace = (upstream: Upstream): void => {
    const { backend } = upstream
    for (const { member, tree } of upstream.places) tree.remove(member)
    upstream.places = []
    for (const pool of poolsOf(backend)) {
      pool.members.delete(upstream)
      if (takesNewClients(upstream)) pool.eligible--
      dropEmpty(pool.byRegion, backend.region)
      if (backend.country !== undefined) dropEmpty(pool.byCountry, backend.country)
    }
    if (byApp.get(backend.app)?.members.size === 0) byApp.delete(backend.app)
  }

  return {
    put: (backend) => {
      const known = byId.get(backend.id)
      if (known === undefined) {
        const seq = nextSeq++
        const hash = hashText(backend.id)
        // In front, since two texts of one hash have one hash with the same ending too.
        const salt = hashText(`#${backend.id}`)
        const row = counters.allocate()
        const upstream: Upstream = { seq, hash, salt, backend, listed: true, live: 0, reserved: 0, row, places: [] }
        byId.set(backend.id, upstream)
        bySeq.set(seq, upstream)
        place(upstream)
        return
      }
      // Most changes leave it where it is: weights, limits, health, address.
      if (known.listed && samePlaces(known.backend, backend)) {
        const counted = takesNewClients(known)
        known.backend = backend
        const counts = takesNewClients(known)
        if (counted !== counts) for (const pool of poolsOf(backend)) pool.eligible += counts ? 1 : -1
        return refresh(known)
      }
      if (known.listed) unplace(known)
      known.backend = backend
      known.listed = true
      place(known)
    },
    drop: (id) => {
      const upstream = byId.get(id)
      if (upstream === undefined || !upstream.listed) return
      unplace(upstream)
      upstream.listed = false
      if (connectionsOf(upstream) === 0) forget(upstream)
    },
    get: (id) => {
      const upstream = byId.get(id)
      return upstream?.listed === true ? upstream : undefined
    },
    bySeq: (seq) => bySeq.get(seq),
    pool: (app) => (app === undefined ? everyApp : byApp.get(app)),
    refresh,
    all: () => byId.values(),
    counters
  }
}

const samePlaces = (a: Backend, b: Backend): boolean =>
  a.app === b.app && a.region === b.region && a.country === b.country

const treeOf = (trees: Map<string, ChoiceTree.ChoiceTree<Upstream>>, key: string): ChoiceTree.ChoiceTree<Upstream> => {
  const known = trees.get(key)
  if (known !== undefined) return known
  const tree = makeTree()
  trees.set(key, tree)
  return tree
}

const dropEmpty = (trees: Map<string, ChoiceTree.ChoiceTree<Upstream>>, key: string): void => {
  if (trees.get(key)?.size() === 0) trees.delete(key)
}
