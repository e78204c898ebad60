import type { Backend } from "../../src/domain/Backend.ts"
import * as Circuit from "../../src/domain/Circuit.ts"
import type { Region } from "../../src/domain/Region.ts"
import type { ClientGeo } from "../../src/domain/Score.ts"

/**
 * R1, R2, R4 to R6, R8, A1, A2, A4, H2, H3 and H6 as they read, without an index, a tree or a hash: every decision looks at every
 * backend. It says which outcomes are right, not which of them the router takes.
 */
export interface ModelUpstream {
  backend: Backend
  listed: boolean
  connections: number
  /** By checks. */
  up: boolean
  circuit: Circuit.Circuit
  /** Of its weight, that counts while it starts slowly. */
  share: number
}

/** A connection as the circuit of its backend sees it. */
export interface ModelTrial {
  readonly trial: number | undefined
  readonly watched: boolean
  connectedAt: number | undefined
  told: boolean
}

export interface ModelBinding {
  readonly upstream: ModelUpstream
  /** Connections that were routed with it and have not ended. */
  open: number
  lastUsed: number
}

export interface ModelRequest {
  readonly client: string
  readonly geo: ClientGeo
  readonly app: string | undefined
  readonly tried: ReadonlyArray<ModelUpstream>
}

/** `none` for no route, with its cause; `id tier affinity` for one. */
export type Outcome = string

export interface ModelOptions {
  readonly region: Region
  readonly spillAt: "hard" | "soft"
  readonly ttlMs: number
  readonly bindingMaxConnections: number
  readonly circuit: Circuit.CircuitOptions
  readonly panicThreshold: number
}

const wanted = ({ backend, listed }: ModelUpstream): boolean =>
  listed && backend.healthy && !backend.draining && !backend.expired

/** Of a server that is new, nothing is known. */
const unseen = { up: true, circuit: Circuit.closed, share: 1 }

const isAt = (a: Backend, b: Backend): boolean => a.address === b.address && a.port === b.port

export const make = (options: ModelOptions) => {
  const upstreams = new Map<string, ModelUpstream>()
  const bindings = new Map<string, ModelBinding>()
  const nameOf = ({ app, client }: ModelRequest): string => `${client} ${app ?? "*"}`

  const tierOf = ({ country, region }: Backend, geo: ClientGeo): number => {
    if (geo.country !== undefined && country === geo.country) return 0
    if (geo.region !== undefined && region === geo.region) return 1
    return region === options.region ? 2 : 3
  }

  const scoreOf = ({ backend, connections, share }: ModelUpstream, geo: ClientGeo): number => {
    const weight = backend.weight * share
    return tierOf(backend, geo) * 100 + Math.min(connections / Math.max(1, backend.softLimit) / weight, 99)
  }

  const bindingOf = (request: ModelRequest, now: number): ModelBinding | undefined => {
    const binding = bindings.get(nameOf(request))
    const holds = binding !== undefined && (binding.open > 0 || now - binding.lastUsed < options.ttlMs)
    return holds ? binding : undefined
  }

  const takers = (app: string | undefined): ReadonlyArray<ModelUpstream> =>
    [...upstreams.values()].filter(
      (each) => wanted(each) && each.backend.weight > 0 && (app === undefined || each.backend.app === app)
    )

  const panics = (app: string | undefined): boolean => {
    const all = takers(app)
    const up = all.filter((each) => each.up && each.circuit._tag === "Closed")
    return all.length > 0 && (up.length === 0 || up.length < all.length * options.panicThreshold)
  }

  const fits = (upstream: ModelUpstream, { app }: ModelRequest): boolean =>
    wanted(upstream) &&
    (app === undefined || upstream.backend.app === app) &&
    (panics(app) || (upstream.up && upstream.circuit._tag !== "Open"))

  const hasRoom = ({ backend, circuit, connections }: ModelUpstream, { app }: ModelRequest): boolean =>
    connections < backend.hardLimit && (panics(app) || Circuit.admits(circuit, options.circuit))

  /** The outcomes of a choice made afresh. */
  const fresh = (request: ModelRequest, affinity: "new" | "rebound"): ReadonlyArray<Outcome> => {
    const pool = takers(request.app)
    if (pool.length === 0) return ["no-backend"]
    const open = pool.filter((each) => fits(each, request) && hasRoom(each, request) && !request.tried.includes(each))
    if (open.length === 0) return ["no-capacity"]
    const comfortable = open.filter(({ backend, connections }) => connections < backend.softLimit)
    const candidates = options.spillAt === "soft" && comfortable.length > 0 ? comfortable : open
    const lowest = Math.min(...candidates.map((each) => scoreOf(each, request.geo)))
    return candidates
      .filter((each) => scoreOf(each, request.geo) === lowest)
      .map(({ backend }) => `${backend.id} ${tierOf(backend, request.geo)} ${affinity}`)
  }

  return {
    upstreams,
    put: (backend: Backend): void => {
      const known = upstreams.get(backend.id)
      if (known === undefined) upstreams.set(backend.id, { backend, listed: true, connections: 0, ...unseen })
      else {
        const stays = known.listed && isAt(known.backend, backend)
        Object.assign(known, { backend, listed: true, ...(stays ? {} : unseen) })
      }
    },
    drop: (id: string): void => {
      const known = upstreams.get(id)
      if (known === undefined) return
      known.listed = false
      if (known.connections === 0) upstreams.delete(id)
    },
    /** Every right outcome. */
    outcomes: (request: ModelRequest, now: number): ReadonlyArray<Outcome> => {
      const binding = bindingOf(request, now)
      if (binding === undefined) return fresh(request, "new")
      const { open, upstream } = binding
      const serves = fits(upstream, request) && hasRoom(upstream, request) && !request.tried.includes(upstream)
      const full = options.bindingMaxConnections > 0 && open >= options.bindingMaxConnections
      if (serves && !full) return [`${upstream.backend.id} ${tierOf(upstream.backend, request.geo)} hit`]
      return fresh(request, serves ? "new" : "rebound")
    },
    panics,
    reserve: (id: string): { readonly upstream: ModelUpstream; readonly trial: ModelTrial } => {
      const upstream = upstreams.get(id)
      if (upstream === undefined) throw new Error(`reserved on an unknown backend: ${id}`)
      const { circuit } = upstream
      upstream.connections++
      upstream.circuit = Circuit.admitted(circuit, options.circuit)
      const watched = circuit._tag !== "Closed" || circuit.failures > 0
      const trial = Circuit.trialOf(circuit, options.circuit)
      return { upstream, trial: { trial, watched, connectedAt: undefined, told: false } }
    },
    /** What became of a connection; its first word counts. */
    tell: (upstream: ModelUpstream, trial: ModelTrial, verdict: Circuit.Verdict, now: number): void => {
      if (trial.told) return
      trial.told = true
      if (!upstream.listed) return
      upstream.circuit = Circuit.told(upstream.circuit, verdict, trial.trial, now, options.circuit)
    },
    /** Time has passed. */
    turn: (now: number): void => {
      for (const upstream of upstreams.values()) upstream.circuit = Circuit.at(upstream.circuit, now, options.circuit)
    },
    release: (upstream: ModelUpstream): void => {
      upstream.connections--
      if (!upstream.listed && upstream.connections === 0) upstreams.delete(upstream.backend.id)
    },
    bind: (request: ModelRequest, upstream: ModelUpstream, now: number): ModelBinding => {
      const known = bindings.get(nameOf(request))
      const binding = known?.upstream === upstream ? known : { upstream, open: 0, lastUsed: now }
      bindings.set(nameOf(request), binding)
      binding.open++
      binding.lastUsed = now
      return binding
    },
    /** The connection has ended. */
    close: (binding: ModelBinding, now: number): void => {
      binding.open--
      binding.lastUsed = now
    },
    /** Forgets a binding that has come to nothing. */
    forget: (request: ModelRequest, binding: ModelBinding): void => {
      if (binding.open === 0 && bindings.get(nameOf(request)) === binding) bindings.delete(nameOf(request))
    }
  }
}
