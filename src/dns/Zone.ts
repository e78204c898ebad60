import * as NetAddress from "effect/net/NetAddress"
import type { Region } from "../domain/Region.ts"
import { regions } from "../domain/Region.ts"
import { type ClientGeo, tierOf } from "../domain/Score.ts"
import { labelOf } from "../routing/HostAddresses.ts"
import type { Pool } from "../routing/Pool.ts"
import type { Upstream } from "../routing/Upstream.ts"
import type { Upstreams } from "../routing/Upstreams.ts"
import { addressBytes, backendBytes } from "./address.ts"
import type { Answer, ZoneRecord } from "./Answer.ts"
import * as Candidates from "./Candidates.ts"
import type { Family, MemberIndexes } from "./MemberIndex.ts"
import { MAX_LABEL_BYTES, RCODE, TYPE } from "./wire.ts"

export interface ZoneOptions {
  readonly indexes: Pick<MemberIndexes, "get">
  readonly popRegion: Region
  /** May change while it runs. */
  readonly spillAt: () => "hard" | "soft"
  readonly pops: ReadonlyArray<readonly [region: Region, addresses: ReadonlyArray<NetAddress.IpAddress>]>
  /** From 0 to 1, neither of them. */
  readonly random: () => number
}

/** What the zone says to a question. `name` is below the zone, in lower case. */
export type Zone = (name: ReadonlyArray<string>, type: number, geo: () => ClientGeo) => Answer

/** Addresses, or services, in one answer (N1). */
export const MAX_RECORDS = 8

const BACKENDS = "backends"
const POPS = "pops"
const TCP = "_tcp"

/** Names that no app answers to. */
const reserved: ReadonlyArray<string> = [BACKENDS, POPS, TCP]

/** Below the zone: who serves it. */
export const NAME_SERVER: ReadonlyArray<string> = [POPS]

/** Of 16 bits. */
const MAX_WORD = 65_535

const answerOf = (records: ReadonlyArray<ZoneRecord>, more: Partial<Answer> = {}): Answer => ({
  rcode: RCODE.NOERROR,
  records,
  additional: [],
  tailored: false,
  ...more
})

/** The name is there, what was asked for is not. */
const noData = answerOf([])
const noDataForAnyone = answerOf([], { tailored: true })
const noName = answerOf([], { rcode: RCODE.NXDOMAIN })
const notLoaded = answerOf([], { rcode: RCODE.SERVFAIL })
const minimal = answerOf([{ owner: undefined, data: { _tag: "Minimal" } }])

/** What a host name is made of, and the underscore that services begin with: such an id is a label of its own. */
const label = /^[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?$/

const isLabel = (text: string): boolean => text.length <= MAX_LABEL_BYTES && label.test(text)

const familyOf = (type: number): Family | undefined =>
  type === TYPE.A ? 4 : type === TYPE.AAAA ? 16 : type === TYPE.SRV ? 0 : undefined

const isRegion = (text: string): text is Region => regions.some((region) => region === text)

const addressRecord = (bytes: Uint8Array, owner?: ReadonlyArray<string>): ZoneRecord => ({
  owner,
  data: { _tag: "Address", bytes }
})

interface Place {
  readonly region: Region
  readonly bytes: Uint8Array
}

/**
 * The zone as the routing table and what is seen of the backends make it at this moment (N1, N2); nothing is kept beside.
 * `isLoaded` tells whether there is a table: before the first one nobody can know that a name does not exist.
 */
export const make = (
  upstreams: Pick<Upstreams["Service"], "named" | "poolNamed">,
  isLoaded: () => boolean,
  options: ZoneOptions
): Zone => {
  const { popRegion, random } = options
  const candidates = Candidates.make(options)
  const places: ReadonlyArray<Place> = options.pops.flatMap(([region, addresses]) =>
    addresses.map((ip) => ({ region, bytes: addressBytes(NetAddress.formatIp(NetAddress.toCanonical(ip))) }))
  )

  /** Nearest first; those that are equally near in another order each time. */
  const pops = (geo: ClientGeo, family: Family, region?: Region): ReadonlyArray<Uint8Array> =>
    places
      .filter(
        (place) => (region === undefined || place.region === region) && (family === 0 || place.bytes.length === family)
      )
      .map((place) => ({
        bytes: place.bytes,
        key: tierOf({ region: place.region, country: undefined }, geo, popRegion) + random()
      }))
      .sort((a, b) => a.key - b.key)
      .slice(0, MAX_RECORDS)
      .map(({ bytes }) => bytes)

  const popsAnswer = (type: number, geo: () => ClientGeo, region?: Region): Answer => {
    if (type === TYPE.ANY) return minimal
    const family = familyOf(type)
    if (family === undefined || family === 0) return noData
    return answerOf(
      pops(geo(), family, region).map((bytes) => addressRecord(bytes)),
      { tailored: true }
    )
  }

  const apex = (type: number, geo: () => ClientGeo): Answer => {
    if (type === TYPE.ANY) return minimal
    if (type === TYPE.SOA) return answerOf([{ owner: undefined, data: { _tag: "Soa" } }])
    if (type !== TYPE.NS) return noData
    return answerOf([{ owner: undefined, data: { _tag: "Ns", host: NAME_SERVER } }], {
      additional: pops(geo(), 0).map((bytes) => addressRecord(bytes, NAME_SERVER))
    })
  }

  /** By its id, whatever its health: it is a name, no choice. */
  const backendAnswer = (id: string, type: number): Answer => {
    const found = Array.from(upstreams.named(id), ({ backend }) => backend)
    // What a row's id leads to is found by it; only ids that are labels can be asked for.
    if (found.length === 0 || !isLabel(id)) return noName
    if (type === TYPE.ANY) return minimal
    const family = familyOf(type)
    const distinct = new Map(found.map((backend) => [backend.address, backendBytes(backend)]))
    const addresses = Array.from(distinct.values()).filter(({ length }) => length === family)
    return answerOf(addresses.slice(0, MAX_RECORDS).map((bytes) => addressRecord(bytes)))
  }

  const appAnswer = (pool: Pool, type: number, geo: () => ClientGeo, region?: Region): Answer => {
    if (type === TYPE.ANY) return minimal
    const family = familyOf(type)
    if (family === undefined || family === 0) return noData
    const found = candidates(pool, { family, geo: geo(), region, count: MAX_RECORDS })
    if (found === undefined) return notLoaded
    if (found.length === 0) return noDataForAnyone
    const records = found.map(({ backend }) => addressRecord(backendBytes(backend)))
    return answerOf(records, { tailored: true })
  }

  const serviceAnswer = (pool: Pool, type: number, geo: () => ClientGeo): Answer => {
    if (type === TYPE.ANY) return minimal
    if (type !== TYPE.SRV) return noData
    const place = geo()
    const found = candidates(pool, { family: 0, geo: place, region: undefined, count: MAX_RECORDS })
    if (found === undefined) return notLoaded
    const named = found.filter(({ backend }) => isLabel(labelOf(backend)))
    if (named.length === 0) return noDataForAnyone
    const scale = scaleOf(named.map(weightOf))
    return answerOf(
      named.map((upstream) => serviceRecord(upstream, tierOf(upstream.backend, place, popRegion), scale)),
      {
        additional: named.map(({ backend }) => addressRecord(backendBytes(backend), [labelOf(backend), BACKENDS])),
        tailored: true
      }
    )
  }

  const poolOf = (app: string): Pool | undefined =>
    reserved.includes(app) || app === "" ? undefined : upstreams.poolNamed(app)

  return (name, type, geo) => {
    const [first = "", second] = name
    if (name.length === 0) return apex(type, geo)
    if (name.length > 2) return noName
    if (second === undefined) {
      if (first === POPS) return popsAnswer(type, geo)
      // Other names are below them, so they exist (RFC 8020).
      if (first === BACKENDS || first === TCP) return type === TYPE.ANY ? minimal : noData
    }
    if (second === POPS) return isRegion(first) ? popsAnswer(type, geo, first) : noName
    if (!isLoaded()) return notLoaded
    if (second === BACKENDS) return backendAnswer(first, type)
    if (second === TCP) {
      const pool = first.startsWith("_") ? poolOf(first.slice(1)) : undefined
      return pool === undefined ? noName : serviceAnswer(pool, type, geo)
    }
    const pool = poolOf(second ?? first)
    if (pool === undefined) return noName
    if (second === undefined) return appAnswer(pool, type, geo)
    return isRegion(first) ? appAnswer(pool, type, geo, first) : noName
  }
}

const weightOf = ({ backend, observed }: Upstream): number => backend.weight * observed.share

/** What weights are multiplied with, so that their proportions survive in the whole numbers of a record. */
const scaleOf = (weights: ReadonlyArray<number>): number =>
  weights.every(Number.isInteger) ? 1 : Math.min(100, MAX_WORD / Math.max(...weights))

/** The tier is the priority, so that resolvers that shuffle an answer can't spoil its order (RFC 2782). */
const serviceRecord = (upstream: Upstream, tier: number, scale: number): ZoneRecord => ({
  owner: undefined,
  data: {
    _tag: "Srv",
    priority: tier,
    weight: Math.min(MAX_WORD, Math.max(1, Math.round(weightOf(upstream) * scale))),
    port: upstream.backend.port,
    target: [labelOf(upstream.backend), BACKENDS]
  }
})
