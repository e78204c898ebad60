import type * as Effect from "effect/Effect"
import { socketAt } from "./kernelSockets.ts"
import type { Peer } from "./tcp.ts"
import { eventually } from "./Watch.ts"

/** Its connection was reset. Who has read FIN reads no more, and only its kernel knows: it has no such connection then. */
export const isReset = (peer: Peer): Effect.Effect<boolean> => {
  const [local, remote] = peer.ports
  return eventually("a reset", () => {
    const closed = peer.closed()
    return closed === undefined ? socketAt(local, remote) === undefined : closed !== "fin"
  })
}
