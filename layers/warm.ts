import type * as Layer from "effect/Layer"
import type { Supervisor } from "../src/actor/Supervisor.ts"
import { WarmPool, type WarmPoolOptions } from "../src/backends/WarmPool.ts"
import type { ConfigValues } from "../src/config/variables.ts"
import type { Upstreams } from "../src/routing/Upstreams.ts"
import { type Admission, connectionsForFds } from "../src/traffic/Admission.ts"
import type { Shutdown } from "../src/traffic/Shutdown.ts"
import type { Transport } from "../src/traffic/Transport.ts"

/** Of the descriptors of the process, one in so many may be of a connection opened ahead. */
const FD_SHARE = 16
const MOST_AT_ONCE = 4_096

/** Connections opened ahead at one time, for all backends together. */
export const warmAtOnce = (fdLimit: number): number => Math.min(MOST_AT_ONCE, Math.floor(fdLimit / FD_SHARE))

/** The warm pool as the configuration has it; undefined: off. */
export const warmOptions = (config: ConfigValues): WarmPoolOptions | undefined =>
  config.poolEnabled
    ? {
        maxPerBackend: config.poolMaxPerBackend,
        idleTimeoutMs: config.poolIdleTimeoutMs,
        maxLifetimeMs: config.poolMaxLifetimeMs,
        connectMs: config.poolConnectTimeoutMs
      }
    : undefined

/** `freeFds`: those that connections may have. They need not be set aside: clients come first. */
export const warmPool = (
  config: ConfigValues,
  fdLimit: number,
  freeFds: number
): Layer.Layer<WarmPool, never, Admission | Shutdown | Supervisor | Transport | Upstreams> =>
  WarmPool.layer(warmOptions(config), {
    most: warmAtOnce(fdLimit),
    connections: connectionsForFds(freeFds),
    keepaliveMs: config.tcpKeepaliveMs
  })
