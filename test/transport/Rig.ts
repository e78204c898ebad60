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
  type ListenExtras,
  type Listener,
  type LiveCounts,
  type RelayLimits,
  Transport,
  type WarmId
} from "../../src/traffic/Transport.ts"
import { socketAt } from "../support/kernelSockets.ts"
import { type ConnectOptions, connect, type Peer } from "../support/tcp.ts"
import * as Watch from "../support/Watch.ts"
import { EngineUnderTest } from "./Engine.ts"
import { secureBoth } from "./secureBoth.ts"

/** A client and its connection as the engine names it. */
export interface Client {
  readonly peer: Peer
  readonly id: ConnectionId
  readonly accepted: Accepted
}

export interface BridgeLimits extends Partial<RelayLimits> {
  readonly connectMs?: number
  readonly keepaliveMs?: number
  readonly prelude?: Uint8Array
  readonly warm?: WarmId
}

export interface ClientOptions extends ConnectOptions {
  /** Another address than the listener's own, as for a wildcard. */
  readonly to?: string
}

/** A listener of the engine under test, and all it has told. */
export interface Rig {
  readonly transport: Transport["Service"]
  readonly listener: Listener
  readonly accepted: ReadonlyArray<Accepted>
  readonly ends: ReadonlyArray<Ended>
  readonly unbridged: ReadonlyArray<{ readonly id: ConnectionId; readonly error: DialError }>
  readonly acceptErrors: () => number
  /** Their codes, each once. */
  readonly acceptCodes: ReadonlySet<string>
  readonly watch: Watch.Watch
  readonly client: (options?: ClientOptions) => Effect.Effect<Client, NodeJS.ErrnoException, Scope.Scope>
  /** Dials and relays; limits that are not given are off, a dial may take 5 s. */
  readonly bridge: (id: ConnectionId, to: Endpoint, limits?: BridgeLimits) => Effect.Effect<Bridged, DialError>
  readonly end: (id: ConnectionId) => Effect.Effect<Ended>
  readonly counts: (id: ConnectionId) => LiveCounts | undefined
  /** Bytes that a client has sent and nobody has got: in the engine, or still in the proxy's kernel. */
  readonly arrived: (client: Client) => number
  /** Completes when so many bytes of the client have arrived before they can be passed on. */
  readonly cameEarly: (client: Client, bytes: number) => Effect.Effect<number>
}

export interface RigOptions {
  readonly prerouteMs?: number
  readonly host?: string
  readonly port?: number
  readonly ipv6Only?: boolean
  readonly backlog?: number
  readonly keepaliveMs?: number
  readonly tellLocal?: boolean
  readonly extras?: ListenExtras
  /** In the very call in which the engine tells. */
  readonly onAccept?: (accepted: Accepted) => void
}

// Open connections of each rig that is alive: more than one may share an engine.
const rigs = new WeakMap<Transport["Service"], Set<() => number>>()

const over: Termination = { by: "proxy", phase: "drain", cause: "killed" }

/**
 * Opens a listener. When the scope ends, whatever still runs is aborted, and what holds for every case is checked: one end
 * event for each accepted connection, none for others, nothing left in the engine.
 */
export const make = (options: RigOptions = {}): Effect.Effect<Rig, ListenError, Transport | Scope.Scope> =>
  Effect.gen(function* () {
    const transport = yield* Transport
    const under = yield* Effect.serviceOption(EngineUnderTest)
    const speaks = under._tag === "Some" ? under.value.tls : undefined
    const watch = Watch.make()
    const accepted: Array<Accepted> = []
    const ends: Array<Ended> = []
    const unbridged: Array<{ readonly id: ConnectionId; readonly error: DialError }> = []
    // By the client's address; taken out when its client has been found, since ports come again.
    const unclaimed = new Map<string, Accepted>()
    let acceptErrors = 0
    const acceptCodes = new Set<string>()

    const address = { address: options.host ?? "127.0.0.1", port: options.port ?? 0 }
    const listener = yield* transport.listen(
      {
        address,
        ipv6Only: options.ipv6Only ?? false,
        backlog: options.backlog ?? 4_096,
        prerouteMs: options.prerouteMs ?? 10_000,
        keepaliveMs: options.keepaliveMs ?? 30_000,
        ...(options.tellLocal === undefined ? {} : { tellLocal: options.tellLocal }),
        ...(options.extras === undefined ? {} : { extras: options.extras }),
        ...(speaks === undefined ? {} : { tls: true })
      },
      {
        onAccept: (batch) => {
          for (const each of batch) {
            accepted.push(each)
            unclaimed.set(nameOf(each.remote), each)
            options.onAccept?.(each)
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
        onAcceptError: ({ code, count }) => {
          acceptErrors += count
          acceptCodes.add(code)
          watch.touch()
        }
      }
    )

    const open = (): number => accepted.length - ends.length
    const all = rigs.get(transport) ?? new Set()
    rigs.set(transport, all.add(open))
    const held = (): number => transport.census().heldBytes
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
      const known = [...all].reduce((sum, open) => sum + open(), 0)
      all.delete(open)
      assert.strictEqual(transport.census().connections, known, "connections in the engine")
      if (known > 0) return
      yield* Watch.eventually(
        () => `memory given back: ${held()} bytes held for nobody`,
        () => held() === 0
      )
    })
    yield* Effect.addFinalizer(() => Effect.interruptible(settle))

    const countsOf = (id: ConnectionId): LiveCounts | undefined => {
      const counts: LiveCounts = { bytesIn: -1, bytesOut: -1, idleMs: -1, waiting: -1 }
      return transport.counts(id, counts) ? counts : undefined
    }
    const arrived = ({ id, accepted: { remote } }: Client): number =>
      (countsOf(id)?.waiting ?? 0) + (socketAt(listener.address.port, remote.port)?.unread ?? 0)

    return {
      transport,
      listener,
      accepted,
      ends,
      unbridged,
      acceptErrors: () => acceptErrors,
      acceptCodes,
      watch,
      client: Effect.fnUntraced(function* (clientOptions?: ClientOptions) {
        const { port } = listener.address
        const peer = yield* connect({ address: clientOptions?.to ?? listener.address.address, port }, clientOptions)
        const { localAddress = "", localPort = 0 } = peer.socket
        const name = nameOf({ address: localAddress, port: localPort })
        const found = yield* watch.until("accept", () => unclaimed.get(name))
        unclaimed.delete(name)
        const ends = speaks?.client
        const secured = ends === undefined ? peer : yield* secureBoth(transport, found.id, peer, ends, clientOptions)
        return { peer: secured, id: found.id, accepted: found }
      }),
      bridge: (id, to, limits = {}) =>
        transport.bridge(id, {
          address: to,
          connectMs: limits.connectMs ?? 5_000,
          keepaliveMs: limits.keepaliveMs ?? 30_000,
          limits: {
            idleMs: limits.idleMs ?? 0,
            finMs: limits.finMs ?? 0,
            stallMs: limits.stallMs ?? 0,
            maxAgeMs: limits.maxAgeMs ?? 0
          },
          ...(limits.prelude === undefined ? {} : { prelude: limits.prelude }),
          ...(limits.warm === undefined ? {} : { warm: limits.warm }),
          ...(speaks?.backend === undefined ? {} : { tls: speaks.backend })
        }),
      end: (id) => watch.until(`end of connection ${id}`, () => ends.find((ended) => ended.id === id)),
      counts: countsOf,
      arrived,
      cameEarly: (client, bytes) =>
        Watch.eventually(
          () => `${bytes} bytes waiting for a backend, but ${arrived(client)}`,
          () => {
            const now = arrived(client)
            return now >= bytes && now
          }
        )
    }
  })

// An IPv4 client of a dual-stack listener is told of as IPv4-mapped, and calls itself IPv4.
const nameOf = ({ address, port }: Endpoint): string =>
  formatEndpoint({ address: address.replace(/^::ffff:/, ""), port })

/** Who ended it, where and why, in one text for comparing: `client relay fin`. */
export const why = ({ by, cause, phase }: Termination): string => `${by} ${phase} ${cause}`
