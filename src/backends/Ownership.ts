import { type BackendState, REGISTERED } from "../domain/BackendState.ts"
import type { StoreChange } from "./BackendStore.ts"

/** A registered backend whose expiry this POP decides on. Times are monotonic milliseconds, but for the last two. */
interface Owned {
  heardAt: number
  /** When a heartbeat was last written, or begun to be. */
  writtenAt: number
  /** Claimed here, which the table does not show yet; -Infinity when it does. */
  claimedAt: number
  expired: boolean
  /** Left behind by another POP: it may be alive beyond a partition, so nobody here removes it for long. */
  readonly orphan: boolean
  /** Wall clock. */
  registeredAt: number
  heardAtWall: number
}

/** Another POP's, as seen from here. */
interface Foreign {
  heartbeatAt: number
  seenAt: number
}

export interface OwnershipOptions {
  readonly pop: string
  readonly ttlMs: number
}

/** What the passing of time makes of registered backends. */
export interface Verdicts {
  readonly changes: ReadonlyArray<StoreChange>
  readonly expired: ReadonlyArray<string>
  readonly removed: ReadonlyArray<string>
}

/**
 * Who decides on which registered backend, and what becomes of those that fall silent (D2). All in memory: a heartbeat costs
 * no write. A start gives every backend a full TTL, since nobody knows what was missed. A POP that is gone for good leaves
 * nothing behind: its backends' heartbeats stand still in the table, and whoever notices takes them over.
 */
export interface Ownership {
  /** Registered or heard of here: this POP decides from now on. */
  readonly claim: (id: string, now: number, wall: number, registered: boolean) => void
  /** Whether another POP's backend may be claimed: one that is heard of at several goes to and fro only so often. */
  readonly mayClaim: (id: string, now: number) => boolean
  /** A heartbeat of a backend of this POP; false when it is not. */
  readonly heard: (id: string, now: number, wall: number) => boolean
  readonly isExpired: (id: string) => boolean
  /** Its expiry has been written, unless it was heard of meanwhile. */
  readonly expire: (id: string, now: number) => void
  readonly forget: (id: string) => void
  /** What the table says of all that are registered. */
  readonly see: (state: BackendState, now: number, wall: number) => void
  /** The table can't be seen, or not as it is: nobody is judged by it, and for a while after neither. */
  readonly lookAway: (now: number) => void
  /** Forgets those of which the table does not know any more. */
  readonly keepOnly: (isKnown: (id: string) => boolean, now: number) => void
  /** To be done by now. What could not be done is said again with the next look. */
  readonly due: (now: number, wall: number) => Verdicts
  readonly times: (id: string) => { readonly registeredAt: number; readonly heardAt: number } | undefined
  readonly size: () => number
}

/** Silent for so many TTLs: it leaves the table. */
const REMOVE_AFTER = 10
/** A heartbeat is written after so many. */
const WRITE_EVERY = 3
/** When one is due, so are all that would be before half of that has passed: one write instead of many. */
const WRITE_WITH = 1.5
/** Another POP's that has not moved for so many is an orphan: later than its owner would have removed it. */
const ORPHAN_AFTER = 15
/** An orphan is removed after so long: a partition is over by then, or nobody comes back. */
const REMOVE_ORPHAN_MS = 24 * 3_600_000
/** The table may take so long to show a claim; no longer than half a TTL. */
const CLAIM_MS = 30_000

export const make = ({ pop, ttlMs }: OwnershipOptions): Ownership => {
  const owned = new Map<string, Owned>()
  const foreign = new Map<string, Foreign>()
  /** When a backend was last claimed here. */
  const claims = new Map<string, number>()
  const claimMs = Math.min(CLAIM_MS, ttlMs / 2)
  let blind = false

  const adopt = (id: string, now: number, record: Partial<Owned>): void => {
    owned.set(id, {
      heardAt: now,
      writtenAt: now,
      claimedAt: -Infinity,
      expired: false,
      orphan: false,
      registeredAt: 0,
      heardAtWall: 0,
      ...record
    })
    foreign.delete(id)
  }

  const watch = (state: BackendState, now: number): void => {
    const { heartbeatAt, id } = state
    const seen = foreign.get(id)
    if (seen === undefined || seen.heartbeatAt !== heartbeatAt)
      return void foreign.set(id, { heartbeatAt, seenAt: now })
    if (now - seen.seenAt < ORPHAN_AFTER * ttlMs) return
    // Taken over as silent for a TTL already: out of rotation at once.
    const silent = { heardAt: now - ttlMs - 1, claimedAt: now, orphan: true }
    adopt(id, now, { ...silent, registeredAt: state.registeredAt, heardAtWall: heartbeatAt })
  }

  /** Another POP says that it is its own. */
  const yieldOrInsist = (record: Owned, state: BackendState, now: number): void => {
    if (state.heartbeatAt <= record.heardAtWall) {
      // What it says is older than what was heard here: not shown yet, or it won where both have written.
      if (now - record.claimedAt < claimMs) return
      if (!record.orphan && now - record.heardAt <= ttlMs) {
        record.claimedAt = now
        record.writtenAt = -Infinity
        return
      }
    }
    owned.delete(state.id)
    watch(state, now)
  }

  return {
    claim: (id, now, wall, registered) => {
      const known = owned.get(id)
      const registeredAt = registered || known === undefined ? wall : known.registeredAt
      adopt(id, now, { claimedAt: now, heardAtWall: wall, registeredAt })
      claims.set(id, now)
    },
    mayClaim: (id, now) => now - (claims.get(id) ?? -Infinity) >= ttlMs / 2,
    heard: (id, now, wall) => {
      const record = owned.get(id)
      if (record === undefined) return false
      record.heardAt = now
      record.heardAtWall = wall
      return true
    },
    isExpired: (id) => owned.get(id)?.expired === true,
    expire: (id, now) => {
      const record = owned.get(id)
      if (record !== undefined && now - record.heardAt > ttlMs) record.expired = true
    },
    forget: (id) => {
      owned.delete(id)
      foreign.delete(id)
    },
    see: (state, now) => {
      if (state.source !== REGISTERED) return
      const record = owned.get(state.id)
      if (state.owner !== pop) return record === undefined ? watch(state, now) : yieldOrInsist(record, state, now)
      if (record !== undefined) record.claimedAt = -Infinity
      else {
        const { expired, heartbeatAt, id, registeredAt } = state
        adopt(id, now, { expired, registeredAt, heardAtWall: heartbeatAt })
      }
    },
    lookAway: () => {
      blind = true
      foreign.clear()
    },
    keepOnly: (isKnown, now) => {
      for (const [id, { claimedAt }] of owned) if (!isKnown(id) && now - claimedAt >= CLAIM_MS) owned.delete(id)
      for (const id of foreign.keys()) if (!isKnown(id)) foreign.delete(id)
      for (const [id, at] of claims) if (now - at >= ttlMs) claims.delete(id)
    },
    due: (now) => {
      const changes: Array<StoreChange> = []
      const expired: Array<string> = []
      const removed: Array<string> = []
      let writes = false
      if (blind) {
        // Others may have heard of them meanwhile; what they have written has half a TTL to be seen.
        blind = false
        for (const record of owned.values()) record.heardAt = Math.max(record.heardAt, now - ttlMs / 2)
      }
      for (const [id, record] of owned) {
        const silence = now - record.heardAt
        if (silence > (record.orphan ? REMOVE_ORPHAN_MS : REMOVE_AFTER * ttlMs)) {
          changes.push({ _tag: "Remove", id })
          removed.push(id)
        } else if (silence > ttlMs) {
          if (record.expired) continue
          changes.push({ _tag: "Expire", id, owner: pop })
          expired.push(id)
        } else if (!record.expired && now - record.writtenAt >= WRITE_EVERY * ttlMs) writes = true
      }
      if (writes) {
        for (const [id, record] of owned) {
          const { expired: isExpired, heardAt, heardAtWall, writtenAt } = record
          if (isExpired || now - heardAt > ttlMs || now - writtenAt < WRITE_WITH * ttlMs) continue
          record.writtenAt = now
          changes.push({ _tag: "Heartbeat", id, owner: pop, at: heardAtWall })
        }
      }
      return { changes, expired, removed }
    },
    times: (id) => {
      const record = owned.get(id)
      return record === undefined ? undefined : { registeredAt: record.registeredAt, heardAt: record.heardAtWall }
    },
    size: () => owned.size
  }
}
