import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { Termination } from "../../src/domain/Termination.ts"
import {
  type Accepted,
  type Bridged,
  type ConnectionId,
  type DialError,
  type Ended,
  type Endpoint,
  formatEndpoint,
  type ListenError,
  type Listener,
  type LiveCounts,
  type RelayLimits,
  Transport
} from "../../src/traffic/Transport.ts"
import { type ConnectOptions, connect, type Peer } from "../support/tcp.ts"
import * as Watch from "../support/Watch.ts"

/** A client and its connection as the engine names it. */
export interface Client {
  readonly peer: Peer
  readonly id: ConnectionId
  readonly accepted: Accepted
}

export interface BridgeLimits extends Partial<RelayLimits> {
  readonly connectMs?: number
}

/** A listener of the engine under test, and all it has told. */
export interface Rig {
  readonly transport: Transport["Service"]
  readonly listener: Listener
  readonly accepted: ReadonlyArray<Accepted>
  readonly ends: ReadonlyArray<Ended>
  readonly unbridged: ReadonlyArray<{ readonly id: ConnectionId; readonly error: DialError }>
  readonly acceptErrors: () => number
  readonly watch: Watch.Watch
  readonly client: (options?: ConnectOptions) => Effect.Effect<Client, NodeJS.ErrnoException, Scope.Scope>
  /** Dials and relays; limits that are not given are off, a dial may take 5 s. */
  readonly bridge: (id: ConnectionId, to: Endpoint, limits?: BridgeLimits) => Effect.Effect<Bridged, DialError>
  readonly end: (id: ConnectionId) => Effect.Effect<Ended>
  readonly counts: (id: ConnectionId) => LiveCounts | undefined
}

export interface RigOptions {
  readonly prerouteMs?: number
  readonly host?: string
}

const over: Termination = { by: "proxy", phase: "drain", cause: "killed" }

/**
 * Opens a listener. When the scope ends, whatever still runs is aborted, and what holds for every case is checked: one end
 * event for each accepted connection, none for others, nothing left in the engine.
 */
export const make = (options: RigOptions = {}): Effect.Effect<Rig, ListenError, Transport | Scope.Scope> =>
  Effect.gen(function* () {
    const transport = yield* Transport
    const watch = Watch.make()
    const accepted: Array<Accepted> = []
    const ends: Array<Ended> = []
    const unbridged: Array<{ readonly id: ConnectionId; readonly error: DialError }> = []
    // By the client's address; taken out when its client has been found, since ports come again.
    const unclaimed = new Map<string, Accepted>()
    let acceptErrors = 0

    const address = { address: options.host ?? "127.0.0.1", port: 0 }
    const listener = yield* transport.listen(
      { address, ipv6Only: false, backlog: 4_096, prerouteMs: options.prerouteMs ?? 10_000, keepaliveMs: 30_000 },
      {
        onAccept: (batch) => {
          for (const each of batch) {
            accepted.push(each)
            unclaimed.set(formatEndpoint(each.remote), each)
          }
          watch.touch()
        },
        onEnd: (batch) => {
          ends.push(...batch)
          watch.touch()
        },
        onUnbridged: (id, error) => {
          unbridged.push({ id, error })
          watch.touch()
        },
        onAcceptError: ({ count }) => {
          acceptErrors += count
          watch.touch()
        }
      }
    )

    const settle = Effect.gen(function* () {
      for (const { id } of accepted) transport.abort(id, "rst", over)
      yield* watch.until(
        () => `end of every connection: ${ends.length} of ${accepted.length}`,
        () => ends.length >= accepted.length
      )
      const byId = (a: number, b: number): number => a - b
      assert.deepStrictEqual(
        ends.map(({ id }) => id).sort(byId),
        accepted.map(({ id }) => id).sort(byId),
        "one end for each accepted connection"
      )
      assert.strictEqual(transport.census().connections, 0, "connections left in the engine")
    })
    yield* Effect.addFinalizer(() => Effect.interruptible(settle))

    return {
      transport,
      listener,
      accepted,
      ends,
      unbridged,
      acceptErrors: () => acceptErrors,
      watch,
      client: Effect.fnUntraced(function* (connectOptions?: ConnectOptions) {
        const peer = yield* connect(listener.address, connectOptions)
        const { localAddress = "", localPort = 0 } = peer.socket
        const name = formatEndpoint({ address: localAddress, port: localPort })
        const found = yield* watch.until("accept", () => unclaimed.get(name))
        unclaimed.delete(name)
        return { peer, id: found.id, accepted: found }
      }),
      bridge: (id, to, limits = {}) =>
        transport.bridge(id, {
          address: to,
          connectMs: limits.connectMs ?? 5_000,
          keepaliveMs: 30_000,
          limits: {
            idleMs: limits.idleMs ?? 0,
            finMs: limits.finMs ?? 0,
            stallMs: limits.stallMs ?? 0,
            maxAgeMs: limits.maxAgeMs ?? 0
          }
        }),
      end: (id) => watch.until(`end of connection ${id}`, () => ends.find((ended) => ended.id === id)),
      counts: (id) => {
        const counts: LiveCounts = { bytesIn: -1, bytesOut: -1, idleMs: -1, waiting: -1 }
        return transport.counts(id, counts) ? counts : undefined
      }
    }
  })

/** Who ended it, where and why, in one text for comparing: `client relay fin`. */
export const why = ({ by, cause, phase }: Termination): string => `${by} ${phase} ${cause}`
