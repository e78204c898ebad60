import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import { availableParallelism } from "node:os"
import type { Supervisor } from "../src/actor/Supervisor.ts"
import type { EdgeConfig } from "../src/config/EdgeConfig.ts"
import type { Transport } from "../src/traffic/Transport.ts"
import * as TransportPair from "../src/traffic/TransportPair.ts"
import { warmAtOnce } from "./warm.ts"

/** An engine that was asked for by name and can't be had is an error; `auto` takes what there is. */
export class NoSpliceError extends Data.TaggedError("NoSpliceError")<{ readonly reason: string }> {
  override get message(): string {
    return `EDGEPROXY_TRANSPORT=splice can't work here: ${this.reason}; use auto or node`
  }
}

export interface ChosenTransport {
  /** Descriptors that the engine needs for itself. */
  readonly ownFds: number
  readonly layer: (maxConnections: number) => Layer.Layer<Transport, never, Supervisor>
}

/**
 * Threads that serve best by measurement: on two cores a second one only takes time from the first, and from the control
 * side; beyond, one core is left to decide, and more than eight would wait for it.
 */
export const autoThreads = (cores: number): number => Math.max(1, Math.min(8, cores - 1))

/** TLS, on either side, is for threads of the node engine, whatever carries the rest. */
export const needsTls = (config: EdgeConfig["Service"]): boolean =>
  (config.tlsEnabled && config.tlsMode === "terminate") || config.backendTls !== "off"

/** The engines that the configuration and the machine allow; each is loaded only when it is taken. */
export const chooseTransport = Effect.fnUntraced(function* (config: EdgeConfig["Service"], fdLimit: number) {
  const plain = yield* choosePlain(config, fdLimit)
  if (!needsTls(config)) return plain
  const { FDS_OF_THREAD, layer } = yield* Effect.promise(() => import("./transport-node/ThreadedTransport.ts"))
  const threads = threadsOf(config)
  const chosen: ChosenTransport = {
    ownFds: plain.ownFds + threads * FDS_OF_THREAD,
    layer: (maxConnections) =>
      TransportPair.layer(
        plain.layer(maxConnections),
        layer({ threads, maxConnections, firstId: TransportPair.TLS_IDS })
      )
  }
  return chosen
})

const threadsOf = ({ transportThreads }: EdgeConfig["Service"]): number =>
  transportThreads === "auto" ? autoThreads(availableParallelism()) : transportThreads

const choosePlain = Effect.fnUntraced(function* (config: EdgeConfig["Service"], fdLimit: number) {
  if (config.transport !== "node") {
    const found = yield* loadSplice
    if (typeof found !== "string") {
      const threads = threadsOf(config)
      const chosen: ChosenTransport = {
        ownFds: found.ownFds({ fdLimit, threads }),
        layer: (maxConnections) => found.layer({ threads, maxConnections, maxWarm: warmAtOnce(fdLimit), fdLimit })
      }
      return chosen
    }
    if (config.transport === "splice") return yield* new NoSpliceError({ reason: found })
    yield* Effect.logWarning("splice transport can't work here, node transport taken", { reason: found })
  }
  const { layer } = yield* Effect.promise(() => import("./transport-node/NodeTransport.ts"))
  const chosen: ChosenTransport = { ownFds: 0, layer: () => layer }
  return chosen
})

/** The splice engine, or why it can't be had: no library for this system, or a kernel that does not let it. */
const loadSplice = Effect.tryPromise(async () => {
  const { probe } = await import("./transport-splice/probe.ts")
  const missing = probe()
  return missing ?? (await import("./transport-splice/SpliceTransport.ts"))
}).pipe(Effect.catch(({ cause }) => Effect.succeed(cause instanceof Error ? firstLine(cause.message) : String(cause))))

const firstLine = (text: string): string => text.split("\n", 1)[0] ?? text
