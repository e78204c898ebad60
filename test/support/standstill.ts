import type * as Effect from "effect/Effect"
import { socketAt } from "./kernelSockets.ts"
import type { Peer } from "./tcp.ts"
import { eventually } from "./Watch.ts"

/** In a row, since a busy machine may let the other end stand still for a moment. */
const POLLS = 10

/**
 * Everything from a sender to its receiver is full, and bytes are left over in the sender: nobody takes any. Or the sender
 * is gone already.
 */
export const standstill = (sender: Peer): Effect.Effect<boolean> => {
  const [local, remote] = sender.ports
  let last = ""
  let same = 0
  return eventually("a standstill", () => {
    if (sender.socket.destroyed) return true
    const near = socketAt(local, remote)
    const far = socketAt(remote, local)
    const now = `${near?.unacknowledged} ${far?.unread}`
    same = now === last && (far?.unread ?? 0) > 0 && sender.socket.writableLength > 0 ? same + 1 : 0
    last = now
    return same >= POLLS
  })
}
