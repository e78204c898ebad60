import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type { Endpoint } from "./Transport.ts"

export type SocketKind = "tcp" | "udp"

/**
 * Sockets that listen already and were passed on to this process: whoever would open one at such an address takes it instead.
 */
export const PassedSockets = Context.Reference<{
  /**
   * What makes another descriptor of the same socket, for as many takers as there are; undefined where it can't. Who makes
   * one closes it.
   */
  readonly copier?: Effect.Effect<(fd: number) => number | undefined>
  /** The descriptor of one that is bound exactly there, for one taker, who closes it. */
  readonly take: (address: Endpoint, kind?: SocketKind) => number | undefined
}>("edgeproxy/traffic/PassedSockets", { defaultValue: () => ({ take: () => undefined }) })
