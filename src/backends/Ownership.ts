import type { BackendState } from "../domain/BackendState.ts"
import { REGISTERED } from "../domain/BackendState.ts"
import type { StoreChange } from "./BackendStore.ts"

/** A registered backend whose expiry this POP decides on. Times are monotonic milliseconds, but for the last two. */
interface Owned {
  heardAt: number
  /** When a heartbeat was last written, or begun to be. */
  writtenAt: number
  /** Claimed here, which the table may not show yet. */
  claimedAt: number
  expired: boolean
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
  /** A heartbeat of a backend of this POP; false when it is not. */
  readonly heard: (id: string, now: number, wall: number) => boolean
  readonly isExpired: (id: string) => boolean
  /** Its expiry has been written. */
  readonly expire: (id: string) => void
  readonly forget: (id: string) => void
  /** What the table says of all that are registered. */
  readonly see: (state: BackendState, now: number, wall: number) => void
  /** What others' heartbeats did while the table could not be seen is unknown: they are watched afresh. */
  readonly lookAway: () => void
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
/** The table may take so long to show a claim. */
const CLAIM_MS = 30_000

export const make = ({ pop, ttlMs }: OwnershipOptions): Ownership => {
  const owned = new Map<string, Owned>()
  const foreign = new Map<string, Foreign>()

  const adopt = (id: string, now: number, record: Partial<Owned> = {}): Owned => {
    const made: Owned = {
      heardAt: now,
      writtenAt: now,
      claimedAt: -Infinity,
      expired: false,
      registeredAt: 0,
      heardAtWall: 0,
      ...record
    }
    owned.set(id, made)
    foreign.delete(id)
    return made
  }

  return {
    claim: (id, now, wall, registered) => {
      const known = owned.get(id)
      adopt(id, now, {
        claimedAt: now,
        heardAtWall: wall,
        registeredAt: registered || known === undefined ? wall : known.registeredAt
      })
    },
    heard: (id, now, wall) => {
      const record = owned.get(id)
      if (record === undefined) return false
      record.heardAt = now
      record.heardAtWall = wall
      return true
    },
    isExpired: (id) => owned.get(id)?.expired === true,
    expire: (id) => {
      const record = owned.get(id)
      if (record !== undefined) record.expired = true
    },
    forget: (id) => {
      owned.delete(id)
      foreign.delete(id)
    },
    see: (state, now, wall) => {
      if (state.source !== REGISTERED) return
      const { id } = state
      const record = owned.get(id)
      if (state.owner === pop) {
        if (record === undefined) {
          adopt(id, now, { expired: state.expired, registeredAt: state.registeredAt, heardAtWall: state.heartbeatAt })
        }
        return
      }
      if (record !== undefined) {
        if (now - record.claimedAt < CLAIM_MS) return
        owned.delete(id)
      }
      const seen = foreign.get(id)
      if (seen === undefined || seen.heartbeatAt !== state.heartbeatAt) {
        foreign.set(id, { heartbeatAt: state.heartbeatAt, seenAt: now })
      } else if (now - seen.seenAt >= ORPHAN_AFTER * ttlMs) {
        // Taken over as silent for a TTL already: out of rotation at once, out of the table in due time.
        const silent = { heardAt: now - ttlMs - 1, claimedAt: now, expired: false }
        adopt(id, now, { ...silent, registeredAt: state.registeredAt, heardAtWall: Math.min(wall, state.heartbeatAt) })
      }
    },
    lookAway: () => foreign.clear(),
    keepOnly: (isKnown, now) => {
      for (const [id, { claimedAt }] of owned) if (!isKnown(id) && now - claimedAt >= CLAIM_MS) owned.delete(id)
      for (const id of foreign.keys()) if (!isKnown(id)) foreign.delete(id)
    },
    due: (now, wall) => {
      const changes: Array<StoreChange> = []
      const expired: Array<string> = []
      const removed: Array<string> = []
      let writes = false
      for (const [id, record] of owned) {
        const silence = now - record.heardAt
        if (silence > REMOVE_AFTER * ttlMs) {
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
          if (record.expired || now - record.heardAt > ttlMs || now - record.writtenAt < WRITE_WITH * ttlMs) continue
          record.writtenAt = now
          changes.push({ _tag: "Heartbeat", id, owner: pop, at: record.heardAtWall || wall })
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
