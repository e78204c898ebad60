/** What a table needs of a map. */
export interface ShardedMap<K extends number | string, V> {
  readonly get: (key: K) => V | undefined
  readonly set: (key: K, value: V) => void
  readonly delete: (key: K) => boolean
  readonly size: () => number
  readonly values: () => Array<V>
}

const SHARDS = 256

/** Of the last characters: names that are numbered differ there. */
const shardOf = (key: number | string): number => {
  if (typeof key === "number") return key % SHARDS
  let hash = key.length
  for (let at = Math.max(0, key.length - 8); at < key.length; at++) hash = (hash * 31 + key.charCodeAt(at)) | 0
  return (hash >>> 0) % SHARDS
}

/**
 * A map of many small ones. One large map copies all of its entries whenever it grows, and that stops everything else: over 10 ms
 * with a hundred thousand (T2). The order of its values is any.
 */
export const make = <K extends number | string, V>(): ShardedMap<K, V> => {
  const shards: Array<Map<K, V> | undefined> = []
  let size = 0
  return {
    get: (key) => shards[shardOf(key)]?.get(key),
    set: (key, value) => {
      const at = shardOf(key)
      const shard = (shards[at] ??= new Map())
      const before = shard.size
      shard.set(key, value)
      size += shard.size - before
    },
    delete: (key) => {
      const deleted = shards[shardOf(key)]?.delete(key) === true
      if (deleted) size--
      return deleted
    },
    size: () => size,
    values: () => {
      const values: Array<V> = []
      for (const shard of shards) if (shard !== undefined) for (const value of shard.values()) values.push(value)
      return values
    }
  }
}
