import { isLoopback } from "../../src/api/access.ts"
import { clientFromText, formatClientKey } from "../../src/domain/Client.ts"
import * as Bucket from "./Bucket.ts"
import type { ServerLimits } from "./limits.ts"

/** What is known of one client of the server: an IPv4 address, or the /64 of an IPv6 address. */
export interface Client {
  readonly loopback: boolean
  readonly requests: Bucket.Bucket
  readonly probes: Bucket.Bucket
  connections: number
  /** Requests being answered. */
  active: number
}

/** The clients of late. */
export interface Clients {
  readonly of: (address: string | undefined) => Client
  readonly size: () => number
}

// Far more than can be connected at once: who comes back soon is remembered.
const MAX_CLIENTS = 4_096

export const make = (limits: ServerLimits, max: number = Math.max(MAX_CLIENTS, 2 * limits.connections)): Clients => {
  const clients = new Map<string, Client>()

  /** Forgets whoever was seen least recently and has no connection. */
  const forgetOne = (): void => {
    for (const [key, client] of clients) {
      if (client.connections > 0) continue
      clients.delete(key)
      return
    }
  }

  return {
    of: (address) => {
      const known = address === undefined ? undefined : clientFromText(address)
      const key = known === undefined ? "" : formatClientKey(known.key)
      let client = clients.get(key)
      if (client === undefined) {
        if (clients.size >= max) forgetOne()
        client = {
          loopback: isLoopback(address),
          requests: Bucket.make(limits.clientBurst, limits.clientPerSecond),
          probes: Bucket.make(limits.probeBurst, limits.probePerSecond),
          connections: 0,
          active: 0
        }
      } else clients.delete(key)
      clients.set(key, client)
      return client
    },
    size: () => clients.size
  }
}
