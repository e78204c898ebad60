import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as NetAddress from "effect/net/NetAddress"
import * as Result from "effect/Result"
import { promises as dns } from "node:dns"
import { codeOf } from "../../src/traffic/errno.ts"
import type { HostAddress } from "../../src/routing/HostAddresses.ts"
import { type HostAnswer, HostError, HostResolver, type Unanswered } from "../../src/routing/HostResolver.ts"

export interface NodeHostResolverOptions {
  /** `address:port` or `[address]:port`; none: the system's. */
  readonly servers: ReadonlyArray<string>
  readonly timeoutMs?: number
  /** The system's name servers as they are now; for tests. */
  readonly system?: () => dns.Resolver
  readonly renewMs?: number
}

const TIMEOUT_MS = 2_000
const TRIES = 2

/** A resolver has the system's name servers of the moment it was made: a host may get others while it runs. */
const RENEW_MS = 30_000

/** Targets of a service that are looked up. */
const MAX_TARGETS = 16

/** There is no such name, or no such record at it: an answer too. */
const isNothing = (code: string): boolean => code === "ENOTFOUND" || code === "ENODATA"

const reasonOf = (code: string): HostError["reason"] =>
  isNothing(code) ? "not-found" : code === "ETIMEOUT" ? "timeout" : "failed"

const canonical = (text: string): string =>
  Result.match(NetAddress.ipFromString(text), {
    onFailure: () => text,
    onSuccess: (ip) => NetAddress.formatIp(NetAddress.toCanonical(ip))
  })

const ask = <A>(host: string, question: () => Promise<A>): Effect.Effect<A, HostError> =>
  Effect.tryPromise({
    try: question,
    catch: (error) => new HostError({ host, reason: reasonOf(codeOf(error)), detail: codeOf(error) })
  })

interface Found {
  readonly address: string
  readonly ttl: number
}

/** Nothing there is no failure: the other family may have something. */
const family = (host: string, question: () => Promise<ReadonlyArray<Found>>) =>
  ask(host, question).pipe(
    Effect.catch((error) => (error.reason === "not-found" ? Effect.succeed([]) : Effect.fail(error))),
    Effect.result
  )

/**
 * Node's resolver (c-ares), which asks name servers itself and tells TTLs, as Effect's own `Dns` does not. Names are
 * complete: no search list and no hosts file.
 */
export const layer = ({
  renewMs = RENEW_MS,
  servers,
  timeoutMs = TIMEOUT_MS,
  system = () => new dns.Resolver({ timeout: timeoutMs, tries: TRIES })
}: NodeHostResolverOptions): Layer.Layer<HostResolver> =>
  Layer.effect(
    HostResolver,
    Effect.gen(function* () {
      let resolver = system()
      if (servers.length > 0) resolver.setServers(servers)
      let madeAt = performance.now()
      yield* Effect.addFinalizer(() => Effect.sync(() => resolver.cancel()))
      /** What is under way with the one before comes to its end there. */
      const renewed = (): dns.Resolver => {
        if (servers.length === 0 && performance.now() - madeAt >= renewMs) {
          resolver = system()
          madeAt = performance.now()
        }
        return resolver
      }

      const addresses = Effect.fnUntraced(function* (host: string) {
        const [four, six] = yield* Effect.all(
          [
            family(host, () => renewed().resolve4(host, { ttl: true })),
            family(host, () => renewed().resolve6(host, { ttl: true }))
          ],
          { concurrency: 2 }
        )
        const found = [four, six].flatMap((answer): ReadonlyArray<Found> =>
          Result.isSuccess(answer) ? answer.success : []
        )
        if (found.length === 0) {
          if (Result.isFailure(four)) return yield* four.failure
          if (Result.isFailure(six)) return yield* six.failure
          return yield* new HostError({ host, reason: "not-found", detail: "it has no address" })
        }
        return {
          addresses: found.map(({ address }): HostAddress => ({ address: canonical(address) })),
          ttlSecs: Math.min(...found.map(({ ttl }) => ttl)),
          unanswered: [
            ...(Result.isFailure(four) ? [{ family: 4 as const }] : []),
            ...(Result.isFailure(six) ? [{ family: 6 as const }] : [])
          ]
        } satisfies HostAnswer
      })

      /** Of those with the best priority; the others are for when these are gone from DNS. */
      const service = Effect.fnUntraced(function* (host: string) {
        const records = yield* ask(host, () => renewed().resolveSrv(host))
        const best = Math.min(...records.map(({ priority }) => priority))
        const targets = records.filter(({ name, priority }) => priority === best && name !== "").slice(0, MAX_TARGETS)
        const total = targets.reduce((sum, { weight }) => sum + weight, 0)
        const answers = yield* Effect.forEach(targets, (target) => Effect.result(addresses(target.name)), {
          concurrency: 4
        })
        const found = answers.flatMap((answer, index): ReadonlyArray<HostAddress> => {
          const target = targets[index]
          if (target === undefined || Result.isFailure(answer)) return []
          const share = total === 0 ? 1 : (target.weight * targets.length) / total
          const at = { port: target.port, share: Math.round(share * 1_000) / 1_000 }
          return answer.success.addresses.map(({ address }) => ({ address, ...at }))
        })
        const [failure] = answers.filter(Result.isFailure)
        if (found.length === 0) {
          if (failure !== undefined) return yield* failure.failure
          return yield* new HostError({ host, reason: "not-found", detail: "the service has no target" })
        }
        const whole = answers.filter(Result.isSuccess).map(({ success }) => success)
        return {
          addresses: found,
          // Node does not tell that of the service records.
          ttlSecs: Math.min(...whole.map(({ ttlSecs }) => ttlSecs)),
          unanswered: answers.flatMap((answer, index): ReadonlyArray<Unanswered> => {
            const at = { port: targets[index]?.port ?? 0 }
            return Result.isFailure(answer) ? [at] : answer.success.unanswered.map((part) => ({ ...part, ...at }))
          })
        } satisfies HostAnswer
      })

      return HostResolver.of({ resolve: (host) => (host.startsWith("_") ? service(host) : addresses(host)) })
    })
  )
