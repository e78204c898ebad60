import * as Bucket from "./Bucket.ts"
import * as Clients from "./Clients.ts"
import type { ServerLimits } from "./limits.ts"

/** A connection as the doorkeeper sees it. */
export interface Guest {
  readonly client: Clients.Client
  /** Requests being answered; 0: it waits for one. */
  active: number
  /** Since when it waits, or since the last progress of its answers. */
  since: number
  /** It was refused something: this is its end, and until then it keeps its place. */
  refused: boolean
}

/** Why a request is not answered as it would like to be. */
export interface Refusal {
  readonly status: 429 | 503
  readonly error: string
  readonly retryAfterSecs: number
}

/**
 * Who comes in, and how many of them (D6). The places are shared so that one client can take only its part, and loopback
 * always finds one. Plain functions for the callbacks of a server; `now` in milliseconds, never falling.
 */
export interface Doorkeeper {
  /** A connection has come; undefined: it can't stay. `evict` is called for one that makes room. */
  readonly enter: (address: string | undefined, now: number, evict: (guest: Guest) => void) => Guest | undefined
  readonly leave: (guest: Guest) => void
  /** A request has come; undefined: it is to be answered, and `done` must follow. */
  readonly begin: (guest: Guest, probe: boolean, now: number) => Refusal | undefined
  readonly done: (guest: Guest, now: number) => void
  /** An answer without an end goes on: its time begins anew. */
  readonly goesOn: (guest: Guest, now: number) => void
  /** Those whose answer takes too long. */
  readonly overdue: (now: number) => ReadonlyArray<Guest>
  readonly connections: () => number
  /** Requests being answered. */
  readonly active: () => number
}

const tooFast = (seconds: number): Refusal => ({
  status: 429,
  error: "too many requests",
  retryAfterSecs: Math.max(1, Math.ceil(seconds))
})

export const make = (limits: ServerLimits): Doorkeeper => {
  const clients = Clients.make(limits)
  const total = Bucket.make(limits.totalBurst, limits.totalPerSecond)
  const guests = new Set<Guest>()
  /** Those that wait for a request, longest first. */
  const waiting = new Set<Guest>()
  let active = 0

  const leave = (guest: Guest): void => {
    if (!guests.delete(guest)) return
    waiting.delete(guest)
    guest.client.connections--
    // Of answers that still wait for their turn on the connection, nobody tells that they have ended.
    guest.client.active -= guest.active
    active -= guest.active
    guest.active = 0
  }

  /** The one that has waited longest gives its place away. */
  const makeRoom = (evict: (guest: Guest) => void, of?: Clients.Client): boolean => {
    for (const guest of waiting) {
      if (of !== undefined && guest.client !== of) continue
      leave(guest)
      evict(guest)
      return true
    }
    return false
  }

  const refusal = ({ client }: Guest, probe: boolean, now: number): Refusal | undefined => {
    if (probe) {
      const wait = client.probes.take(now)
      return wait > 0 ? tooFast(wait) : undefined
    }
    const wait = client.requests.take(now) || (client.loopback ? 0 : total.take(now))
    if (wait > 0) return tooFast(wait)
    if (client.active >= limits.requestsPerClient) return tooFast(1)
    if (active >= limits.requests) return { status: 503, error: "too many requests at once", retryAfterSecs: 1 }
    return undefined
  }

  return {
    enter: (address, now, evict) => {
      const client = clients.of(address)
      const places = limits.connections - (client.loopback ? 0 : limits.connectionsForLoopback)
      if (client.connections >= limits.connectionsPerClient && !makeRoom(evict, client)) return undefined
      if (guests.size >= places && !makeRoom(evict)) return undefined
      const guest: Guest = { client, active: 0, since: now, refused: false }
      client.connections++
      guests.add(guest)
      waiting.add(guest)
      return guest
    },
    leave,
    begin: (guest, probe, now) => {
      const refused = refusal(guest, probe, now)
      if (refused !== undefined) {
        guest.refused = true
        waiting.delete(guest)
        return refused
      }
      if (guest.active++ === 0) guest.since = now
      guest.client.active++
      active++
      waiting.delete(guest)
      return undefined
    },
    done: (guest, now) => {
      if (!guests.has(guest)) return
      guest.active--
      guest.client.active--
      guest.since = now
      active--
      if (guest.active === 0 && !guest.refused) waiting.add(guest)
    },
    goesOn: (guest, now) => void (guest.since = now),
    overdue: (now) => Array.from(guests).filter(({ active, since }) => active > 0 && now - since > limits.answerMs),
    connections: () => guests.size,
    active: () => active
  }
}
