import { type Backend, type BackendRow, encodeBackend } from "../domain/Backend.ts"
import { decode, encode, type HostAddress, membersOf, type Refuses } from "./HostAddresses.ts"
import type { Backends } from "./TableUpdate.ts"
import type { Upstreams } from "./Upstreams.ts"

/**
 * What of the rows stands in `Upstreams`: those with an address as they are, of those that name a host one for each of its
 * addresses (R9).
 */
export interface Places {
  readonly put: (row: Backend, before: Backend | undefined) => void
  readonly drop: (row: Backend | undefined) => void
  readonly hosts: () => ReadonlySet<string>
  readonly addressesOf: (host: string) => ReadonlyArray<HostAddress>
  /** The rows, if there are any yet, follow. */
  readonly setAddresses: (host: string, addresses: ReadonlyArray<HostAddress>, rows?: Backends) => void
  readonly membersOf: (row: Backend) => ReadonlyArray<Backend>
  /** The row with what is known of its host. */
  readonly encode: (row: Backend) => BackendRow
}

/** The column of a stored row that has the addresses of its host. */
const FOUND = "found"

/** The host of a stored row, and its addresses. */
export const storedHost = (row: BackendRow) => ({ host: String(row["wg_ip"]), addresses: decode(row[FOUND]) })

const none: ReadonlyArray<HostAddress> = []
const anywhere: Refuses = () => undefined

export const make = (upstreams: Pick<Upstreams["Service"], "drop" | "put">, refuses: Refuses = anywhere): Places => {
  const found = new Map<string, ReadonlyArray<HostAddress>>()
  /** Ids of the rows that name a host. */
  const rowsOf = new Map<string, Set<string>>()
  const hosts = new Set<string>()

  const members = (row: Backend): ReadonlyArray<Backend> => membersOf(row, found, refuses)

  const enlist = ({ address, id, named }: Backend): void => {
    if (named === undefined) return
    hosts.add(address)
    const ids = rowsOf.get(address)
    if (ids === undefined) rowsOf.set(address, new Set([id]))
    else ids.add(id)
  }

  const delist = ({ address, id, named }: Backend): void => {
    const ids = named === undefined ? undefined : rowsOf.get(address)
    ids?.delete(id)
    if (ids === undefined || ids.size > 0) return
    rowsOf.delete(address)
    hosts.delete(address)
    found.delete(address)
  }

  const replace = (before: ReadonlyArray<Backend>, after: ReadonlyArray<Backend>): void => {
    const stay = new Set<string>()
    // New ones first: the row must not be without any for a moment.
    for (const member of after) {
      stay.add(member.id)
      upstreams.put(member)
    }
    for (const { id } of before) if (!stay.has(id)) upstreams.drop(id)
  }

  return {
    put: (row, before) => {
      // Nearly all rows.
      if (row.named === undefined && before?.named === undefined) return upstreams.put(row)
      const were = before === undefined ? [] : members(before)
      enlist(row)
      replace(were, members(row))
      if (before !== undefined && before.address !== row.address) delist(before)
    },
    drop: (row) => {
      if (row === undefined) return
      for (const { id } of members(row)) upstreams.drop(id)
      delist(row)
    },
    hosts: () => hosts,
    addressesOf: (host) => found.get(host) ?? none,
    setAddresses: (host, addresses, rows) => {
      const named = Array.from(rowsOf.get(host) ?? []).flatMap((id) => rows?.get(id) ?? [])
      const were = named.map(members)
      found.set(host, addresses)
      for (const [index, row] of named.entries()) replace(were[index] ?? [], members(row))
    },
    membersOf: members,
    encode: (row) => {
      const addresses = row.named === undefined ? none : (found.get(row.address) ?? none)
      const encoded = encodeBackend(row)
      return addresses.length === 0 ? encoded : { ...encoded, [FOUND]: encode(addresses) }
    }
  }
}
