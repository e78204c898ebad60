import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type { Backend } from "../domain/Backend.ts"

/** Where the name of a host leads. */
export interface HostAddress {
  /** Canonical literal. */
  readonly address: string
  /** Of a service record (RFC 2782): its port instead of the row's. */
  readonly port?: number
  /** Of a service record: the share among its addresses, 1 on average. */
  readonly share?: number
}

/** What is known of a host; none: it could not be looked up yet. */
export type Hosts = ReadonlyMap<string, ReadonlyArray<HostAddress>>

/** Addresses of one host that are used; the first of more, in their order as text. */
export const MAX_ADDRESSES = 32

/** Of a service record of weight 0: little, but not nothing (RFC 2782). */
const LEAST_SHARE = 0.01

export const textOf = ({ address, port, share }: HostAddress): string => {
  const host = port === undefined ? address : `${address.includes(":") ? `[${address}]` : address}:${port}`
  return share === undefined ? host : `${host}*${share}`
}

/** Its name as one label of DNS: of an address of a named host `db--10-0-0-1`. */
export const labelOf = ({ address, id, row }: Backend): string =>
  row === undefined ? id : `${row}--${address.replaceAll(/[.:]/g, "-")}`

/** In an order that is always the same, each once, not too many. */
export const inOrder = (addresses: Iterable<HostAddress>): ReadonlyArray<HostAddress> => {
  const byText = new Map(Array.from(addresses, (each) => [textOf(each), each] as const))
  return [...byText]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .slice(0, MAX_ADDRESSES)
    .map(([, each]) => each)
}

export const same = (a: ReadonlyArray<HostAddress>, b: ReadonlyArray<HostAddress>): boolean =>
  a.length === b.length && a.every((each, index) => b[index] !== undefined && textOf(each) === textOf(b[index]))

const StoredAddresses = Schema.Array(
  Schema.Struct({
    address: Schema.String,
    port: Schema.optionalKey(Schema.Int),
    share: Schema.optionalKey(Schema.Finite)
  })
)

const decodeStored = Schema.decodeUnknownResult(StoredAddresses)

/** As a stored row has them. */
export const encode = (addresses: ReadonlyArray<HostAddress>): string => JSON.stringify(addresses)

/** What `encode` has written; none of what it has not. */
export const decode = (stored: unknown): ReadonlyArray<HostAddress> => {
  if (typeof stored !== "string") return []
  return Result.getOrElse(
    Result.flatMap(
      Result.try((): unknown => JSON.parse(stored)),
      decodeStored
    ),
    () => []
  )
}

/** Why a backend may not be at an address that a name led to; undefined when it may. */
export type Refuses = (backend: Backend) => string | undefined

/**
 * The backends that a row stands for. A literal stands for itself. A named host has one for each address, as in HAProxy's
 * `server-template` or Envoy's `STRICT_DNS`: each has health, circuit and weight of its own; the limits are the row's, so
 * they are shared out among them, and no more addresses are used than the row may have connections.
 */
export const membersOf = (row: Backend, hosts: Hosts, refuses: Refuses): ReadonlyArray<Backend> => {
  if (row.named === undefined) return [row]
  const { named: _, ...rest } = row
  // A service has the certificate of its domain (RFC 6125, 6.2.1).
  const member = { ...rest, row: row.id, host: row.address.replace(/^(?:_[^.]+\.)+/, "") }
  const used = (hosts.get(row.address) ?? [])
    .map((each) => ({ ...each, backend: { ...member, address: each.address, port: each.port ?? row.port } }))
    // A service may be announced at port 0, where nobody is.
    .filter(({ backend }) => backend.port > 0 && refuses(backend) === undefined)
    .slice(0, row.hardLimit)
  const count = used.length
  return used.map(({ address, backend, port, share }) => ({
    ...backend,
    id: `${row.id}#${textOf(port === undefined ? { address } : { address, port })}`,
    weight: Math.round(row.weight * Math.max(share ?? 1, LEAST_SHARE) * 1_000) / 1_000,
    softLimit: Math.max(1, Math.floor(row.softLimit / count)),
    hardLimit: row.hardLimit === Infinity ? Infinity : Math.floor(row.hardLimit / count)
  }))
}
