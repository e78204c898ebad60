import type * as IpNetwork from "effect/net/IpNetwork"
import * as NetAddress from "effect/net/NetAddress"
import type { Client } from "./Client.ts"

/**
 * Networks to look an address up in: sorted, without those that lie in another one, so that ten thousand cost some
 * fourteen comparisons. The addresses lie in one array of words, outside the reach of the garbage collector.
 */
export interface NetworkSet {
  readonly has: (client: Client) => boolean
  /** Of both families, after leaving out what lies in another one. */
  readonly size: number
}

interface Block {
  /** One word for IPv4, four for IPv6. */
  readonly words: ReadonlyArray<number>
  readonly prefix: number
}

const wordsOf = (ip: NetAddress.IpAddress): ReadonlyArray<number> => {
  if (NetAddress.isIpv4Address(ip)) {
    const [a, b, c, d] = NetAddress.ipv4ToOctets(ip)
    return [((a << 24) | (b << 16) | (c << 8) | d) >>> 0]
  }
  const [a, b, c, d, e, f, g, h] = NetAddress.ipv6ToSegments(ip)
  return [((a << 16) | b) >>> 0, ((c << 16) | d) >>> 0, ((e << 16) | f) >>> 0, ((g << 16) | h) >>> 0]
}

const MAPPED_BITS = 96

/** Clients are never IPv4-mapped (A1), so a network of such addresses stands for the IPv4 one. */
const blockOf = ({ address, prefixLength }: IpNetwork.IpNetwork): Block => {
  const canonical = NetAddress.toCanonical(address)
  const mapped = NetAddress.isIpv4Address(canonical) && !NetAddress.isIpv4Address(address)
  return mapped && prefixLength >= MAPPED_BITS
    ? { words: wordsOf(canonical), prefix: prefixLength - MAPPED_BITS }
    : { words: wordsOf(address), prefix: prefixLength }
}

const byStart = (a: Block, b: Block): number => {
  for (const [index, word] of a.words.entries()) {
    const other = b.words[index] ?? 0
    if (word !== other) return word - other
  }
  return a.prefix - b.prefix
}

const contains = (outer: Block, inner: Block): boolean => {
  for (let index = 0, bits = outer.prefix; bits > 0; index++, bits -= 32) {
    if (differ(outer.words[index] ?? 0, inner.words[index] ?? 0, bits)) return false
  }
  return true
}

/** Whether two words differ in the first bits that count; more than 32 are all. */
const differ = (a: number, b: number, bits: number): boolean => (bits >= 32 ? a !== b : (a ^ b) >>> (32 - bits) !== 0)

/** Blocks of one family. */
const ranges = (blocks: ReadonlyArray<Block>, width: number) => {
  const outermost: Array<Block> = []
  for (const block of Array.from(blocks).sort(byStart)) {
    const last = outermost.at(-1)
    if (last === undefined || !contains(last, block)) outermost.push(block)
  }
  const starts = Uint32Array.from(outermost.flatMap(({ words }) => words))
  const prefixes = Uint8Array.from(outermost, ({ prefix }) => prefix)

  const isAfter = (index: number, words: Uint32Array): boolean => {
    for (let at = 0; at < width; at++) {
      const start = starts[index * width + at] ?? 0
      const word = words[at] ?? 0
      if (start !== word) return start > word
    }
    return false
  }
  const covers = (index: number, words: Uint32Array): boolean => {
    for (let at = 0, bits = prefixes[index] ?? 0; bits > 0; at++, bits -= 32) {
      if (differ(starts[index * width + at] ?? 0, words[at] ?? 0, bits)) return false
    }
    return true
  }
  return {
    size: outermost.length,
    /** Only the last block that begins at the address or before it can have it: they don't overlap. */
    has: (words: Uint32Array): boolean => {
      let low = 0
      let high = outermost.length
      while (low < high) {
        const middle = (low + high) >>> 1
        if (isAfter(middle, words)) high = middle
        else low = middle + 1
      }
      return low > 0 && covers(low - 1, words)
    }
  }
}

export const make = (networks: ReadonlyArray<IpNetwork.IpNetwork>): NetworkSet => {
  const blocks = networks.map(blockOf)
  const four = ranges(
    blocks.filter(({ words }) => words.length === 1),
    1
  )
  const six = ranges(
    blocks.filter(({ words }) => words.length === 4),
    4
  )
  const address = new Uint32Array(4)
  return {
    size: four.size + six.size,
    has: ({ ip, key }) => {
      if (key.family === 4) {
        if (four.size === 0) return false
        address[0] = key.lo
        return four.has(address)
      }
      if (six.size === 0) return false
      address.set(wordsOf(ip))
      return six.has(address)
    }
  }
}
