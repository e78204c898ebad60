import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import * as Scope from "effect/Scope"
import { networkInterfaces } from "node:os"
import { DnsCounters } from "../../src/dns/DnsCounters.ts"
import { DnsSocketError, DnsTransport } from "../../src/dns/DnsTransport.ts"
import type { Responder } from "../../src/dns/Responder.ts"
import type { Endpoint, ListenError } from "../../src/traffic/Transport.ts"
import * as TcpServer from "./TcpServer.ts"
import * as UdpSocket from "./UdpSocket.ts"

export interface NodeDnsOptions {
  readonly limits?: TcpServer.TcpLimits
  /** The host's own addresses, for a wildcard. */
  readonly hostAddresses?: () => ReadonlyArray<string>
  readonly lookMs?: number
}

/** How often the host may have got another address. */
const LOOK_MS = 15_000

const CHOICES = 9

const isWildcard = (address: string): boolean => address === "0.0.0.0" || address === "::"

/** Link-local ones need an interface with them, and nobody outside of the link can ask there. */
const interfaceAddresses = (): ReadonlyArray<string> =>
  Object.values(networkInterfaces()).flatMap((all) =>
    (all ?? []).flatMap(({ address, scopeid }) => (scopeid === undefined || scopeid === 0 ? [address] : []))
  )

/**
 * Node's sockets. A wildcard address is one socket for each address of the host, as in other name servers: an answer has to
 * leave from the address that was asked, which may be an anycast one, and a socket for all of them can't tell.
 */
export const layer = (options: NodeDnsOptions = {}): Layer.Layer<DnsTransport, never, DnsCounters> =>
  Layer.effect(
    DnsTransport,
    Effect.gen(function* () {
      const counters = yield* DnsCounters
      const hostAddresses = options.hostAddresses ?? interfaceAddresses

      const listenOnce = Effect.fnUntraced(function* (wanted: Endpoint, answer: Responder) {
        const lost = yield* Deferred.make<never, DnsSocketError>()
        // First, so that a port of the system's choice is one for both.
        const address = yield* TcpServer.open({
          address: wanted,
          answer,
          counters,
          limits: options.limits ?? TcpServer.defaultLimits
        })
        const openUdp = (at: string) =>
          UdpSocket.open({
            address: { address: at, port: address.port },
            answer,
            counters,
            onLost: (code) => Deferred.doneUnsafe(lost, Exit.fail(new DnsSocketError({ address, code })))
          })
        if (isWildcard(wanted.address)) yield* follow(openUdp, wanted.address, hostAddresses)
        else yield* openUdp(wanted.address)
        return { address, lost: Deferred.await(lost) }
      })

      /** A port that the system has chosen for TCP may be taken for UDP: then it chooses another one. */
      const listen = Effect.fnUntraced(function* (wanted: Endpoint, answer: Responder) {
        const parent = yield* Effect.scope
        const attempt = Effect.gen(function* () {
          const scope = yield* Scope.fork(parent)
          return yield* listenOnce(wanted, answer).pipe(
            Scope.provide(scope),
            Effect.onExit((exit) => (Exit.isFailure(exit) ? Scope.close(scope, Exit.void) : Effect.void))
          )
        })
        return yield* Effect.retry(attempt, {
          times: CHOICES,
          while: ({ reason }) => wanted.port === 0 && reason === "InUse"
        })
      })

      const follow = Effect.fnUntraced(function* (
        openUdp: (at: string) => Effect.Effect<Endpoint, ListenError, Scope.Scope>,
        wildcard: string,
        addresses: () => ReadonlyArray<string>
      ) {
        const parent = yield* Effect.scope
        const open = new Map<string, Scope.Closeable>()
        /** Told of, and not to be told of with every look. */
        const unusable = new Set<string>()
        const openAt = Effect.fnUntraced(function* (at: string) {
          const scope = yield* Scope.fork(parent)
          yield* openUdp(at).pipe(
            Scope.provide(scope),
            Effect.onExit((exit) => (Exit.isFailure(exit) ? Scope.close(scope, Exit.void) : Effect.void))
          )
          open.set(at, scope)
          unusable.delete(at)
        })
        const tell = Effect.fnUntraced(function* (at: string, { message }: ListenError) {
          if (unusable.has(at)) return
          unusable.add(at)
          yield* Effect.logWarning("DNS server can't use an address yet", message)
        })
        const now = (): ReadonlySet<string> =>
          new Set(addresses().filter((address) => wildcard === "::" || !address.includes(":")))
        // One that the host is about to get, or is still testing (IPv6 at boot), must not keep the others from answering.
        for (const at of now()) {
          yield* openAt(at).pipe(
            Effect.catch((error) => (error.reason === "BadAddress" ? tell(at, error) : Effect.fail(error)))
          )
        }
        const look = Effect.gen(function* () {
          const wanted = now()
          for (const at of unusable) if (!wanted.has(at)) unusable.delete(at)
          for (const [at, scope] of open) {
            if (wanted.has(at)) continue
            open.delete(at)
            yield* Scope.close(scope, Exit.void)
          }
          for (const at of wanted) {
            if (open.has(at)) continue
            yield* openAt(at).pipe(
              Effect.andThen(Effect.logInfo("DNS server has another address", { address: at })),
              Effect.catch((error) => tell(at, error))
            )
          }
        })
        yield* look.pipe(Effect.schedule(Schedule.spaced(options.lookMs ?? LOOK_MS)), Effect.forkScoped)
      })

      return DnsTransport.of({ listen })
    })
  )
