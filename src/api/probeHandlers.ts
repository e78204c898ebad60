import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import * as HttpApiBuilder from "effect/http-api/HttpApiBuilder"
import type * as HttpApiGroup from "effect/http-api/HttpApiGroup"
import { monotonicMs } from "../actor/Monotonic.ts"
import { Registry } from "../backends/Registry.ts"
import { Api } from "./Api.ts"
import type { Identity } from "./Identity.ts"
import { Ready } from "./Ready.ts"

export const layer = ({
  pop,
  region,
  version
}: Identity): Layer.Layer<HttpApiGroup.Service<"edgeproxy", "probes">, never, Ready | Registry> =>
  HttpApiBuilder.group(
    Api,
    "probes",
    Effect.fnUntraced(function* (handlers) {
      const registry = yield* Registry
      const readiness = yield* Ready
      const now = yield* monotonicMs
      const startedAt = now()

      return handlers.handleAll({
        health: () =>
          Effect.sync(() => ({
            status: "ok" as const,
            version,
            pop,
            region,
            registered_backends: registry.registered(),
            uptime_secs: Math.floor((now() - startedAt) / 1_000)
          })),
        ready: () =>
          Effect.sync(() => {
            const { degraded, reasons } = readiness.now()
            return reasons.length === 0
              ? { ready: true as const, reasons, degraded }
              : { ready: false as const, reasons, degraded }
          })
      })
    })
  )
