import type * as Effect from "effect/Effect"
import { socketAt } from "./kernelSockets.ts"
import type { Peer } from "./tcp.ts"
import { eventually } from "./Watch.ts"

/** In a row: who was closed in order has still to be told of that. */
const LOOKS = 3

/** Its connection was reset. Who has read FIN reads no more, and only its kernel knows: it has no such connection then. */
export const isReset = (peer: Peer): Effect.Effect<boolean> => {
  const [local, remote] = peer.ports
  let gone = 0
  return eventually("a reset", () => {
    const closed = peer.closed()
    if (closed !== undefined) return closed !== "fin"
    gone = socketAt(local, remote) === undefined ? gone + 1 : 0
    return gone >= LOOKS
  })
}
