import { isExpired } from "../domain/Binding.ts"
import { affinityHash, type ClientKey } from "../domain/Client.ts"

/** Names an entry; stale once the entry is removed, even if its room is used again. */
export interface BindingRef {
  readonly index: number
  readonly generation: number
}

/**
 * Client key and app -> backend, in typed arrays: about 48 bytes an entry, outside the garbage collector, and no growth
 * step that copies more than a few thousand entries. A list through all entries keeps the order of last use, so the
 * oldest is found at once (A3).
 *
 * Entries lie in chunks that never move; a hash index of 256 independent shards (open addressing, linear probing) finds
 * them.
 */
export interface BindingTable {
  readonly find: (key: ClientKey, app: number) => number
  /** Adds or replaces; drops the least recently used entry when full. Returns the entry's index. */
  readonly put: (key: ClientKey, app: number, backend: number, now: number) => number
  readonly remove: (index: number) => void
  readonly touch: (index: number, now: number) => void
  readonly backendOf: (index: number) => number
  readonly openOf: (index: number) => number
  readonly lastUsedOf: (index: number) => number
  /** Counts a connection that uses the entry; to be given to `close` when it ends. */
  readonly open: (index: number) => BindingRef
  /** False when the entry is gone or names another backend by now. */
  readonly close: (ref: BindingRef, now: number) => boolean
  /** Removes expired entries, looking at no more than `limit`; returns how many it looked at and removed. */
  readonly expire: (now: number, ttlMs: number, limit: number) => { readonly seen: number; readonly removed: number }
  readonly size: () => number
  readonly evictions: () => number
}

const NONE = 0xffffffff

const CHUNK_BITS = 14
const CHUNK = 1 << CHUNK_BITS
const CHUNK_MASK = CHUNK - 1

// Words of an entry.
const HI = 0
const LO = 1
const TAG = 2
const BACKEND = 3
const OPEN = 4
const GENERATION = 5
const OLDER = 6
const NEWER = 7
const WORDS = 8

const SHARD_BITS = 8

const EVICTION_TRIES = 16

interface Shard {
  slots: Uint32Array
  used: number
}

// One word for app and family; apps are those of the listeners, so a few.
const tagOf = (key: ClientKey, app: number): number => ((app << 1) | (key.family === 6 ? 1 : 0)) >>> 0

const hashOf = (hi: number, lo: number, tag: number): number =>
  affinityHash({ family: (tag & 1) === 1 ? 6 : 4, hi, lo }, tag >>> 1)

export const make = (capacity: number): BindingTable => {
  const words: Array<Uint32Array> = []
  const times: Array<Float64Array> = []
  const shards: Array<Shard> = Array.from({ length: 1 << SHARD_BITS }, () => ({
    slots: new Uint32Array(16).fill(NONE),
    used: 0
  }))
  let allocated = 0
  let free = NONE
  let newest = NONE
  let oldest = NONE
  let size = 0
  let evictions = 0

  const read = (index: number, word: number): number =>
    words[index >>> CHUNK_BITS]?.[(index & CHUNK_MASK) * WORDS + word] ?? NONE
  const write = (index: number, word: number, value: number): void => {
    const chunk = words[index >>> CHUNK_BITS]
    if (chunk !== undefined) chunk[(index & CHUNK_MASK) * WORDS + word] = value
  }
  const lastUsedOf = (index: number): number => times[index >>> CHUNK_BITS]?.[index & CHUNK_MASK] ?? 0
  const setLastUsed = (index: number, now: number): void => {
    const chunk = times[index >>> CHUNK_BITS]
    if (chunk !== undefined) chunk[index & CHUNK_MASK] = now
  }

  const shardOf = (hash: number): Shard => shards[hash >>> (32 - SHARD_BITS)] as Shard
  const hashAt = (index: number): number => hashOf(read(index, HI), read(index, LO), read(index, TAG))

  const unlink = (index: number): void => {
    const older = read(index, OLDER)
    const newer = read(index, NEWER)
    if (older === NONE) oldest = newer
    else write(older, NEWER, newer)
    if (newer === NONE) newest = older
    else write(newer, OLDER, older)
  }
  const linkNewest = (index: number): void => {
    write(index, OLDER, newest)
    write(index, NEWER, NONE)
    if (newest === NONE) oldest = index
    else write(newest, NEWER, index)
    newest = index
  }
  const touch = (index: number, now: number): void => {
    setLastUsed(index, now)
    if (newest === index) return
    unlink(index)
    linkNewest(index)
  }

  const find = (key: ClientKey, app: number): number => {
    const tag = tagOf(key, app)
    const hash = hashOf(key.hi, key.lo, tag)
    const { slots } = shardOf(hash)
    const mask = slots.length - 1
    for (let at = hash & mask; ; at = (at + 1) & mask) {
      const index = slots[at] ?? NONE
      if (index === NONE) return -1
      if (read(index, LO) === key.lo && read(index, HI) === key.hi && read(index, TAG) === tag) return index
    }
  }

  const insert = (shard: Shard, hash: number, index: number): void => {
    if ((shard.used + 1) * 4 > shard.slots.length * 3) {
      const old = shard.slots
      shard.slots = new Uint32Array(old.length * 2).fill(NONE)
      for (const each of old) if (each !== NONE) fill(shard.slots, hashAt(each), each)
    }
    fill(shard.slots, hash, index)
    shard.used++
  }

  // Linear probing without tombstones: what follows the hole moves up when it may.
  const erase = (shard: Shard, hash: number, index: number): void => {
    const { slots } = shard
    const mask = slots.length - 1
    let hole = hash & mask
    while (slots[hole] !== index) hole = (hole + 1) & mask
    for (let at = (hole + 1) & mask; ; at = (at + 1) & mask) {
      const each = slots[at] ?? NONE
      if (each === NONE) break
      const home = hashAt(each) & mask
      if (((at - home) & mask) >= ((at - hole) & mask)) {
        slots[hole] = each
        hole = at
      }
    }
    slots[hole] = NONE
    shard.used--
  }

  const remove = (index: number): void => {
    const hash = hashAt(index)
    erase(shardOf(hash), hash, index)
    unlink(index)
    write(index, GENERATION, (read(index, GENERATION) + 1) >>> 0)
    write(index, NEWER, free)
    free = index
    size--
  }

  const allocate = (): number => {
    if (free !== NONE) {
      const index = free
      free = read(index, NEWER)
      return index
    }
    if (allocated === words.length * CHUNK) {
      words.push(new Uint32Array(CHUNK * WORDS))
      times.push(new Float64Array(CHUNK))
    }
    return allocated++
  }

  return {
    find,
    put: (key, app, backend, now) => {
      const known = find(key, app)
      if (known >= 0) {
        write(known, BACKEND, backend)
        // What was open is open on the backend left behind; its connections no longer hold this entry.
        write(known, OPEN, 0)
        write(known, GENERATION, (read(known, GENERATION) + 1) >>> 0)
        touch(known, now)
        return known
      }
      if (size >= capacity && oldest !== NONE) {
        // One that carries a connection is in use, whatever its place in the list; but the search has to end.
        for (let tries = 0; tries < EVICTION_TRIES && read(oldest, OPEN) > 0; tries++) touch(oldest, now)
        remove(oldest)
        evictions++
      }
      const index = allocate()
      const tag = tagOf(key, app)
      write(index, HI, key.hi)
      write(index, LO, key.lo)
      write(index, TAG, tag)
      write(index, BACKEND, backend)
      write(index, OPEN, 0)
      setLastUsed(index, now)
      const hash = hashOf(key.hi, key.lo, tag)
      insert(shardOf(hash), hash, index)
      linkNewest(index)
      size++
      return index
    },
    remove,
    touch,
    backendOf: (index) => read(index, BACKEND),
    openOf: (index) => read(index, OPEN),
    lastUsedOf,
    open: (index) => {
      write(index, OPEN, read(index, OPEN) + 1)
      return { index, generation: read(index, GENERATION) }
    },
    close: (ref, now) => {
      if (read(ref.index, GENERATION) !== ref.generation) return false
      write(ref.index, OPEN, read(ref.index, OPEN) - 1)
      touch(ref.index, now)
      return true
    },
    expire: (now, ttlMs, limit) => {
      let seen = 0
      let removed = 0
      while (seen < limit && oldest !== NONE && now - lastUsedOf(oldest) >= ttlMs) {
        seen++
        const index = oldest
        if (isExpired({ lastUsed: lastUsedOf(index), open: read(index, OPEN) }, now, ttlMs)) {
          remove(index)
          removed++
        } else {
          // In use all the while: that counts as use.
          touch(index, now)
        }
      }
      return { seen, removed }
    },
    size: () => size,
    evictions: () => evictions
  }
}

const fill = (slots: Uint32Array, hash: number, index: number): void => {
  const mask = slots.length - 1
  let at = hash & mask
  while (slots[at] !== NONE) at = (at + 1) & mask
  slots[at] = index
}
