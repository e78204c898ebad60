import * as IpNetwork from "effect/net/IpNetwork"
import * as NetAddress from "effect/net/NetAddress"

interface MmdbRecord {
  /** IPv4 or IPv6 network without host bits. The longest prefix that holds an address wins, the last of two equal ones. */
  readonly cidr: string
  /**
   * Maps, arrays, strings, booleans and numbers. A whole number becomes the smallest of uint32, int32 and uint64 that
   * holds it, a bigint uint64 or uint128, any other number a double. The format has no null.
   */
  readonly value: unknown
}

interface MmdbOptions {
  readonly databaseType: string
  readonly records: ReadonlyArray<MmdbRecord>
  /** Seconds since 1970. */
  readonly buildEpoch?: number
  /** IPv4 networks are stored under `::/96`. */
  readonly ipVersion: 6
  /** Bits of one record of the tree; 24 when not given. */
  readonly recordSize?: 24 | 28
}

const STRING = 2
const DOUBLE = 3
const UINT16 = 5
const UINT32 = 6
const MAP = 7
const INT32 = 8
const UINT64 = 9
const UINT128 = 10
const ARRAY = 11
const BOOLEAN = 14

const SEPARATOR = new Uint8Array(16)
const MARKER = Buffer.from("\xab\xcd\xefMaxMind.com", "latin1")

const bigEndian = (value: bigint, size: number): Uint8Array =>
  Uint8Array.from({ length: size }, (_, index) => Number((value >> BigInt(8 * (size - 1 - index))) & 0xffn))

/** The control byte with what follows it: the extended type first, then the bytes of a size that does not fit. */
const control = (type: number, size: number): Uint8Array => {
  if (size >= 65_821 + 2 ** 24) throw new RangeError(`MMDB cannot hold ${size} bytes in one value`)
  const [bits, rest] =
    size < 29
      ? [size, bigEndian(0n, 0)]
      : size < 285
        ? [29, bigEndian(BigInt(size - 29), 1)]
        : size < 65_821
          ? [30, bigEndian(BigInt(size - 285), 2)]
          : [31, bigEndian(BigInt(size - 65_821), 3)]
  return Uint8Array.of(...(type > 7 ? [bits, type - 7] : [(type << 5) | bits]), ...rest)
}

const field = (type: number, payload: Uint8Array): Uint8Array => Buffer.concat([control(type, payload.length), payload])

/** Without leading zero bytes, as the format allows and MaxMind writes it; 0 has no bytes at all. */
const unsigned = (type: number, value: bigint): Uint8Array =>
  field(type, bigEndian(value, value === 0n ? 0 : Math.ceil(value.toString(16).length / 2)))

const number = (value: number): Uint8Array => {
  if (Number.isSafeInteger(value) && value >= -(2 ** 31) && !Object.is(value, -0)) {
    if (value < 0) return field(INT32, bigEndian(BigInt(value), 4))
    return unsigned(value < 2 ** 32 ? UINT32 : UINT64, BigInt(value))
  }
  const payload = Buffer.alloc(8)
  payload.writeDoubleBE(value)
  return field(DOUBLE, payload)
}

const string = (value: string): Uint8Array => field(STRING, Buffer.from(value))

const map = (entries: ReadonlyArray<readonly [key: string, value: Uint8Array]>): Uint8Array =>
  Buffer.concat([control(MAP, entries.length), ...entries.flatMap(([key, value]) => [string(key), value])])

const encode = (value: unknown): Uint8Array => {
  if (typeof value === "string") return string(value)
  if (typeof value === "number") return number(value)
  if (typeof value === "boolean") return control(BOOLEAN, value ? 1 : 0)
  if (typeof value === "bigint" && value >= 0n && value < 1n << 128n) {
    return unsigned(value < 1n << 64n ? UINT64 : UINT128, value)
  }
  if (Array.isArray(value)) return Buffer.concat([control(ARRAY, value.length), ...value.map(encode)])
  if (typeof value === "object" && value !== null) return map(Object.entries(value).map(([k, v]) => [k, encode(v)]))
  throw new TypeError(`MMDB cannot hold ${String(value)}`)
}

/** An inner node, the offset of a value in the data section, or nothing known of these addresses. */
type Slot = TreeNode | number | undefined
type TreeNode = [zero: Slot, one: Slot]

/** The bits of the prefix in a tree of IPv6 depth. */
const path = (network: IpNetwork.IpNetwork): ReadonlyArray<0 | 1> => {
  const { address } = network
  const v4 = NetAddress.isIpv4Address(address)
  const bytes = v4 ? [...Array(12).fill(0), ...NetAddress.ipv4ToOctets(address)] : NetAddress.ipv6ToOctets(address)
  const bits = bytes.flatMap((byte) => [7, 6, 5, 4, 3, 2, 1, 0].map((shift) => ((byte >> shift) & 1 ? 1 : 0)))
  return bits.slice(0, network.prefixLength + (v4 ? 96 : 0))
}

/** Puts the value below the path. What a shorter prefix said of the rest of its network stays. */
const insert = (root: TreeNode, bits: ReadonlyArray<0 | 1>, offset: number): void => {
  const last = bits.at(-1)
  if (last === undefined) {
    root.fill(offset)
    return
  }
  let node = root
  for (const bit of bits.slice(0, -1)) {
    const slot = node[bit]
    node = node[bit] = Array.isArray(slot) ? slot : [slot, slot]
  }
  node[last] = offset
}

const nodesOf = (root: TreeNode): ReadonlyArray<TreeNode> => {
  const nodes = [root]
  for (const node of nodes) for (const slot of node) if (Array.isArray(slot)) nodes.push(slot)
  return nodes
}

const encodeTree = (nodes: ReadonlyArray<TreeNode>, recordSize: 24 | 28): Uint8Array => {
  const indexes = new Map(nodes.map((node, index) => [node, index]))
  const pointer = (slot: Slot): bigint => {
    if (slot === undefined) return BigInt(nodes.length)
    const value = Array.isArray(slot) ? (indexes.get(slot) ?? nodes.length) : nodes.length + SEPARATOR.length + slot
    if (value >= 2 ** recordSize) throw new RangeError(`MMDB records of ${recordSize} bits are too small`)
    return BigInt(value)
  }
  return Buffer.concat(
    nodes.map(([left, right]) => {
      const [zero, one] = [pointer(left), pointer(right)]
      if (recordSize === 24) return bigEndian((zero << 24n) | one, 6)
      // The byte in the middle holds the upper four bits of both.
      const upper = ((zero >> 24n) << 4n) | (one >> 24n)
      return bigEndian(((zero & 0xff_ffffn) << 32n) | (upper << 24n) | (one & 0xff_ffffn), 7)
    })
  )
}

/** A MaxMind DB file, format 2.0 (https://maxmind.github.io/MaxMind-DB/); the same input gives the same bytes. */
export const writeMmdb = (options: MmdbOptions): Uint8Array => {
  const { buildEpoch = 1_700_000_000, databaseType, ipVersion, recordSize = 24 } = options
  const data: Array<Uint8Array> = []
  const offsets = new Map<string, number>()
  let end = 0
  const store = (value: unknown): number => {
    const bytes = encode(value)
    const key = Buffer.from(bytes).toString("latin1")
    const offset = offsets.get(key) ?? end
    if (offset === end) {
      offsets.set(key, end)
      data.push(bytes)
      end += bytes.length
    }
    return offset
  }

  const root: TreeNode = [undefined, undefined]
  options.records
    .map(({ cidr, value }) => ({ bits: path(IpNetwork.fromStringUnsafe(cidr)), offset: store(value) }))
    .sort((a, b) => a.bits.length - b.bits.length)
    .forEach(({ bits, offset }) => insert(root, bits, offset))
  const nodes = nodesOf(root)

  const metadata = map([
    ["binary_format_major_version", unsigned(UINT16, 2n)],
    ["binary_format_minor_version", unsigned(UINT16, 0n)],
    ["build_epoch", unsigned(UINT64, BigInt(buildEpoch))],
    ["database_type", string(databaseType)],
    ["description", map([["en", string(databaseType)]])],
    ["ip_version", unsigned(UINT16, BigInt(ipVersion))],
    ["languages", encode(["en"])],
    ["node_count", unsigned(UINT32, BigInt(nodes.length))],
    ["record_size", unsigned(UINT16, BigInt(recordSize))]
  ])
  return Uint8Array.from(Buffer.concat([encodeTree(nodes, recordSize), SEPARATOR, ...data, MARKER, metadata]))
}
