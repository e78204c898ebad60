import * as Effect from "effect/Effect"
import { createHash } from "node:crypto"
import type { Endpoint } from "../../src/traffic/Transport.ts"
import { seededStream } from "../support/bytes.ts"
import { connect, type Peer } from "../support/tcp.ts"

/** One connection: so many pieces go out, and the backend's name and every byte of them must come back. */
export interface Plan {
  readonly size: number
  readonly times: number
  readonly pauseMs: number
  /** FIN when all has come; FIN with the last byte; RST while bytes are under way. */
  readonly end: "waits" | "half-close" | "reset"
}

/** `whole`; `cut`: a beginning of it; `corrupt`: other bytes; or the code of the error that kept it from connecting. */
export interface Result {
  /** Empty when it has not said its name. */
  readonly backend: string
  readonly outcome: string
}

/** Echoed bytes that may be under way. */
const WINDOW = 512 * 1_024
const PATIENCE_MS = 60_000
const STEP = 65_536

const nameOf = (peer: Peer): string => {
  const text = peer.text()
  return text.slice(0, Math.max(0, text.indexOf("\n")))
}

const isOver = (peer: Peer): boolean => peer.closed() !== undefined || peer.socket.readableEnded

/** The hash of the name and so many of the bytes that were sent. */
const hashOf = (name: string, seed: number, count: number): string => {
  const stream = seededStream(seed)
  const hash = createHash("sha256").update(`${name}\n`)
  for (let left = count; left > 0; left -= STEP) hash.update(stream.next(Math.min(left, STEP)))
  return hash.digest("hex")
}

const judge = (peer: Peer, seed: number, size: number): Result => {
  const backend = nameOf(peer)
  if (backend === "") return { backend, outcome: peer.received() === 0 ? "cut" : "corrupt" }
  const echoed = peer.received() - backend.length - 1
  const sound = echoed <= size && hashOf(backend, seed, echoed) === peer.sha256()
  const outcome = !sound ? "corrupt" : echoed === size && peer.closed() === "fin" ? "whole" : "cut"
  return { backend, outcome }
}

const run = Effect.fnUntraced(function* (peer: Peer, { end, pauseMs, size, times }: Plan, seed: number) {
  const stream = seededStream(seed)
  const total = size * times
  let sent = 0
  const until = (what: string, look: () => boolean) => peer.watch.until(what, () => isOver(peer) || look(), PATIENCE_MS)
  while (sent < total && !isOver(peer)) {
    if (sent > 0 && pauseMs > 0) yield* Effect.sleep(pauseMs)
    yield* peer.send(stream.next(size))
    sent += size
    if (sent < total) yield* until("a window of echo", () => peer.received() >= sent - WINDOW)
  }
  if (end === "reset") {
    yield* until("a name", () => nameOf(peer) !== "")
    yield* peer.reset
    return judge(peer, seed, total)
  }
  if (end === "half-close") yield* peer.finish
  const has = (): boolean => nameOf(peer) !== "" && peer.received() >= total + nameOf(peer).length + 1
  yield* until("the echo", has)
  if (end === "waits") yield* peer.finish
  yield* peer.watch.until("the end", peer.closed, PATIENCE_MS)
  return judge(peer, seed, total)
})

/** Dies when it hangs. */
export const exchange = (to: Endpoint, from: string, plan: Plan, seed: number): Effect.Effect<Result> =>
  connect(to, { from }).pipe(
    Effect.flatMap((peer) => run(peer, plan, seed)),
    // A reset may come before this end has noticed that it was connected.
    Effect.catch(({ code = "?" }) => Effect.succeed({ backend: "", outcome: code === "ECONNRESET" ? "cut" : code })),
    Effect.scoped
  )
