import * as Context from "effect/Context"
import type { Endpoint } from "./Transport.ts"

export type SocketKind = "tcp" | "udp"

/**
 * Sockets that listen already and were passed on to this process: whoever would open one at such an address takes it instead.
 */
export const PassedSockets = Context.Reference<{
  /** The descriptor of one that is bound exactly there, for one taker, who closes it. */
  readonly take: (address: Endpoint, kind?: SocketKind) => number | undefined
}>("edgeproxy/traffic/PassedSockets", { defaultValue: () => ({ take: () => undefined }) })
