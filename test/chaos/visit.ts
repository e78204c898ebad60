import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { createHash } from "node:crypto"
import type { Endpoint } from "../../src/traffic/Transport.ts"
import { seededBytes } from "../support/bytes.ts"
import { connect, type Peer } from "../support/tcp.ts"
import * as Watch from "../support/Watch.ts"

/**
 * What a client got: `whole` is the backend's name, all its own bytes and FIN; `cut` a beginning of that, nothing at all
 * included; `corrupt` anything else. Whoever could not even connect has the code of that error.
 */
export type Outcome = "whole" | "cut" | "corrupt" | (string & {})

export interface Visit {
  /** The backend that served. */
  readonly name: string
  readonly outcome: Outcome
  readonly ms: number
  /** When it was over, on the monotonic clock. */
  readonly endedAt: number
}

export const upTo = (count: number): ReadonlyArray<number> => Array.from({ length: count }, (_, index) => index)

const nameOf = (peer: Peer): string => peer.text().split("\n", 1)[0] ?? ""

/** Compares what came with the name and these bytes, by its hash. */
export const judge = (peer: Peer, bytes: Uint8Array): Outcome => {
  if (peer.received() === 0) return "cut"
  const expected = Buffer.concat([Buffer.from(`${nameOf(peer)}\n`), bytes])
  if (peer.received() > expected.length) return "corrupt"
  const hash = createHash("sha256").update(expected.subarray(0, peer.received())).digest("hex")
  if (hash !== peer.sha256()) return "corrupt"
  return peer.received() === expected.length && peer.closed() === "fin" ? "whole" : "cut"
}

/** All has come, or nothing more will. */
const answered = (peer: Peer, size: number): Effect.Effect<boolean> =>
  peer.watch.until("answer", () => {
    const ended = peer.closed() !== undefined || peer.socket.readableEnded
    return ended || (peer.text() !== "" && peer.received() >= size + nameOf(peer).length + 1)
  })

/** One client from beginning to end. One that `waits` sends FIN after it was served, another one with its last byte. */
export const visit = (
  to: Endpoint,
  from: string,
  seed: number,
  { size = 20_000, waits = seed % 2 === 0 } = {}
): Effect.Effect<Visit> =>
  Effect.suspend(() => {
    const startedAt = performance.now()
    const times = (): Pick<Visit, "ms" | "endedAt"> => {
      const endedAt = performance.now()
      return { ms: endedAt - startedAt, endedAt }
    }
    return connect(to, { from }).pipe(
      Effect.flatMap((peer) =>
        Effect.gen(function* () {
          const bytes = seededBytes(seed, size)
          yield* peer.send(bytes)
          if (waits) yield* answered(peer, size)
          yield* peer.finish
          yield* peer.awaitClosed
          return { name: nameOf(peer), outcome: judge(peer, bytes), ...times() }
        })
      ),
      // A reset may come before this end has noticed that it was connected.
      Effect.catch(({ code = "?" }) =>
        Effect.succeed({ name: "", outcome: code === "ECONNRESET" ? "cut" : code, ...times() })
      ),
      Effect.scoped
    )
  })

/** A client of Brazil: by turns one of forty who come again, bound to their backends, and a new one. */
export const brazilian = (index: number): string =>
  index % 2 === 0 ? `127.1.0.${1 + (index % 80)}` : `127.1.${1 + (Math.floor(index / 250) % 250)}.${1 + (index % 250)}`

/** Clients that come one after the other, in several lanes, until they are told to stop. */
export interface Load {
  readonly visits: ReadonlyArray<Visit>
  /** The visits that end from now on, as soon as there are so many. */
  readonly more: (count: number) => Effect.Effect<ReadonlyArray<Visit>>
  /** The next that is served whole by this backend. */
  readonly servedBy: (name: string) => Effect.Effect<Visit>
  readonly stop: Effect.Effect<ReadonlyArray<Visit>>
}

const PAUSE_MS = 3

export const load = Effect.fnUntraced(function* (
  to: Endpoint,
  { lanes = 6, ...options }: { readonly lanes?: number; readonly waits?: boolean } = {}
) {
  const watch = Watch.make()
  const visits: Array<Visit> = []
  let next = 0
  let stopped = false
  const lane = Effect.gen(function* () {
    while (!stopped) {
      const index = next++
      visits.push(yield* visit(to, brazilian(index), index, options))
      watch.touch()
      yield* Effect.sleep(PAUSE_MS)
    }
  })
  const fiber = yield* Effect.forkScoped(Effect.forEach(upTo(lanes), () => lane, { concurrency: lanes, discard: true }))
  return {
    visits,
    more: (count) =>
      Effect.suspend(() => {
        const before = visits.length
        const what = `${count} more visits`
        return watch.until(what, () => visits.length >= before + count && visits.slice(before))
      }),
    servedBy: (name) =>
      Effect.suspend(() => {
        const before = visits.length
        const fits = (one: Visit): boolean => one.name === name && one.outcome === "whole"
        return watch.until(`visit served by ${name}`, () => visits.slice(before).find(fits))
      }),
    stop: Effect.suspend(() => {
      stopped = true
      return Effect.as(Fiber.join(fiber), visits)
    })
  } satisfies Load
})

/** A transfer that goes on, back and forth, from now until it is finished. */
export interface Transfer {
  readonly peer: Peer
  /** Sends FIN, waits for the end, and says what came. */
  readonly finish: Effect.Effect<Outcome>
  /** What has come so far, after somebody else ended it. */
  readonly ended: Effect.Effect<Outcome>
}

const CHUNK = 60_000

export const transfer = Effect.fnUntraced(function* (to: Endpoint, from: string, seed: number) {
  const peer = yield* connect(to, { from })
  const sent: Array<Buffer> = []
  let total = 0
  let finishing = false
  const fiber = yield* Effect.forkScoped(
    Effect.gen(function* () {
      while (!finishing && peer.closed() === undefined) {
        const bytes = seededBytes(seed * 100_000 + sent.length, CHUNK)
        sent.push(bytes)
        total += CHUNK
        yield* peer.send(bytes)
        yield* peer.watch.until("echo", () => peer.received() >= total || peer.closed() !== undefined)
        yield* Effect.sleep(PAUSE_MS)
      }
    })
  )
  yield* peer.awaitBytes(CHUNK)
  const ended = peer.awaitClosed.pipe(
    Effect.andThen(Fiber.join(fiber)),
    Effect.map(() => judge(peer, Buffer.concat(sent)))
  )
  return {
    peer,
    finish: Effect.suspend(() => {
      finishing = true
      return Fiber.join(fiber).pipe(Effect.andThen(peer.finish), Effect.andThen(ended))
    }),
    ended
  } satisfies Transfer
})
