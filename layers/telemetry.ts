import type * as Layer from "effect/Layer"
import manifest from "../package.json" with { type: "json" }
import { samplerOf } from "../src/domain/TraceContext.ts"
import type { ConfigValues } from "../src/config/variables.ts"
import * as Telemetry from "./telemetry/Telemetry.ts"

/** What the name is when nobody has given one. */
const USUAL_NAME = "edgeproxy"

/** Export to a collector, as the configuration has it. A file of its own, which only who wants it loads. */
export const telemetryTo = (endpoint: string, config: ConfigValues): Layer.Layer<never> => {
  const given = Object.fromEntries(config.otelResourceAttributes)
  const isNamed = config.otelServiceName !== USUAL_NAME || given["service.name"] === undefined
  return Telemetry.layer({
    endpoint,
    headers: config.otelExporterOtlpHeaders,
    version: manifest.version,
    resource: {
      "service.version": manifest.version,
      "service.instance.id": config.popId,
      "edgeproxy.pop": config.popId,
      "edgeproxy.region": config.region,
      ...given,
      ...(isNamed ? { "service.name": config.otelServiceName } : {})
    },
    sampler: samplerOf(config.otelTracesSampler, config.otelTracesSamplerArg),
    showsClients: config.traceClientAddress
  })
}
