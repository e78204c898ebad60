import { optional, secret } from "../Codec.ts"
import { endpoint } from "../networks.ts"
import { boolean, literals, ratio } from "../scalars.ts"
import { keyValues, name, url, urlPath } from "../texts.ts"
import { inGroup } from "../Variable.ts"

const metrics = inGroup("Observability")
const telemetry = inGroup("Observability", { activeFrom: "OpenTelemetry export" })

export const observability = {
  metricsEnabled: metrics(boolean, {
    name: "EDGEPROXY_METRICS_ENABLED",
    default: "false",
    doc: "Prometheus endpoint"
  }),
  metricsListenAddr: metrics(endpoint, {
    name: "EDGEPROXY_METRICS_LISTEN_ADDR",
    default: "0.0.0.0:9090",
    doc: "Where it listens"
  }),
  metricsPath: metrics(urlPath, {
    name: "EDGEPROXY_METRICS_PATH",
    default: "/metrics",
    doc: "Its path"
  }),
  otelExporterOtlpEndpoint: telemetry(optional(url("http", "https")), {
    name: "OTEL_EXPORTER_OTLP_ENDPOINT",
    doc: "OTLP collector for traces, metrics and logs; none = off"
  }),
  otelExporterOtlpHeaders: telemetry(optional(secret(keyValues)), {
    name: "OTEL_EXPORTER_OTLP_HEADERS",
    doc: "Headers for the collector, `key=value` with commas between"
  }),
  otelServiceName: telemetry(name, {
    name: "OTEL_SERVICE_NAME",
    default: "edgeproxy",
    doc: "Name of the service in telemetry"
  }),
  otelResourceAttributes: telemetry(keyValues, {
    name: "OTEL_RESOURCE_ATTRIBUTES",
    doc: "Attributes of the resource, `key=value` with commas between"
  }),
  otelTracesSampler: telemetry(
    literals([
      "always_on",
      "always_off",
      "traceidratio",
      "parentbased_always_on",
      "parentbased_always_off",
      "parentbased_traceidratio"
    ]),
    {
      name: "OTEL_TRACES_SAMPLER",
      default: "parentbased_always_on",
      doc: "Which connections are traced: a sampler of the OpenTelemetry specification"
    }
  ),
  otelTracesSamplerArg: telemetry(ratio, {
    name: "OTEL_TRACES_SAMPLER_ARG",
    default: "1",
    doc: "Share traced by the `traceidratio` samplers"
  }),
  traceClientAddress: telemetry(boolean, {
    name: "EDGEPROXY_TRACE_CLIENT_ADDRESS",
    default: "false",
    doc: "Puts the client's address into traces"
  })
}
