import { type ClientKey, firstWord } from "../domain/Client.ts"
import { combine } from "../domain/Hash.ts"

/**
 * Live connections of each client key, for as long as it has any: twelve bytes a place, outside the garbage collector.
 * There are never more clients than connections. A hash table in 256 parts (open addressing, linear probing), each of
 * which grows by itself, so that no growth copies more than a few thousand places.
 */
export interface ClientCounts {
  readonly add: (key: ClientKey) => void
  readonly remove: (key: ClientKey) => void
  readonly of: (key: ClientKey) => number
  /** Clients that have a connection. */
  readonly size: () => number
}

const PARTS = 256

// Words of a place; one without a count is free.
const HI = 0
const LO = 1
const COUNT = 2
const WORDS = 3

const FEWEST_PLACES = 16

interface Part {
  words: Uint32Array
  used: number
}

const placesOf = ({ words }: Part): number => words.length / WORDS

const write = (words: Uint32Array, at: number, hi: number, lo: number, count: number): void => {
  words[at + HI] = hi
  words[at + LO] = lo
  words[at + COUNT] = count
}

/** Of the client, or the free one where it would be. */
const placeOf = ({ words }: Part, hash: number, hi: number, lo: number): number => {
  const last = words.length / WORDS - 1
  for (let place = hash & last; ; place = (place + 1) & last) {
    const at = place * WORDS
    if (words[at + COUNT] === 0 || (words[at + LO] === lo && words[at + HI] === hi)) return at
  }
}

export const make = (seed: number): ClientCounts => {
  const parts = Array.from({ length: PARTS }, (): Part => ({ words: new Uint32Array(FEWEST_PLACES * WORDS), used: 0 }))
  let size = 0

  const hashOf = (hi: number, lo: number): number => combine(combine(seed, hi), lo)
  // An index below PARTS is always there.
  const partOf = (hash: number): Part => parts[hash >>> 24] as Part

  const grow = (part: Part): void => {
    const old = part.words
    part.words = new Uint32Array(old.length * 2)
    for (let at = 0; at < old.length; at += WORDS) {
      const [hi = 0, lo = 0, count = 0] = [old[at + HI], old[at + LO], old[at + COUNT]]
      if (count > 0) write(part.words, placeOf(part, hashOf(hi, lo), hi, lo), hi, lo, count)
    }
  }

  // Without tombstones: what follows the hole moves up when it may.
  const free = ({ words }: Part, emptied: number): void => {
    const last = words.length / WORDS - 1
    let hole = emptied / WORDS
    for (let place = (hole + 1) & last; ; place = (place + 1) & last) {
      const at = place * WORDS
      const [hi = 0, lo = 0, count = 0] = [words[at + HI], words[at + LO], words[at + COUNT]]
      if (count === 0) break
      const home = hashOf(hi, lo) & last
      if (((place - home) & last) < ((place - hole) & last)) continue
      write(words, hole * WORDS, hi, lo, count)
      hole = place
    }
    write(words, hole * WORDS, 0, 0, 0)
  }

  return {
    add: (key) => {
      const hi = firstWord(key)
      const hash = hashOf(hi, key.lo)
      const part = partOf(hash)
      let at = placeOf(part, hash, hi, key.lo)
      const count = part.words[at + COUNT] ?? 0
      if (count === 0) {
        size++
        part.used++
        if (part.used * 4 > placesOf(part) * 3) {
          grow(part)
          at = placeOf(part, hash, hi, key.lo)
        }
      }
      write(part.words, at, hi, key.lo, count + 1)
    },
    remove: (key) => {
      const hi = firstWord(key)
      const hash = hashOf(hi, key.lo)
      const part = partOf(hash)
      const at = placeOf(part, hash, hi, key.lo)
      const count = part.words[at + COUNT] ?? 0
      if (count === 0) return
      if (count > 1) {
        part.words[at + COUNT] = count - 1
        return
      }
      size--
      part.used--
      free(part, at)
    },
    of: (key) => {
      const hi = firstWord(key)
      const hash = hashOf(hi, key.lo)
      const part = partOf(hash)
      return part.words[placeOf(part, hash, hi, key.lo) + COUNT] ?? 0
    },
    size: () => size
  }
}
