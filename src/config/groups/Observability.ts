import { optional, secret } from "../Codec.ts"
import { endpoint } from "../networks.ts"
import { boolean, literals, ratio } from "../scalars.ts"
import { headerValues, keyValues, name, url, urlPath } from "../texts.ts"
import { inGroup } from "../Variable.ts"

const define = inGroup("Observability")

export const observability = {
  metricsEnabled: define(boolean, {
    name: "EDGEPROXY_METRICS_ENABLED",
    default: "false",
    doc: "Prometheus endpoint"
  }),
  metricsListenAddr: define(endpoint, {
    name: "EDGEPROXY_METRICS_LISTEN_ADDR",
    default: "0.0.0.0:9090",
    doc: "Where it listens"
  }),
  metricsPath: define(urlPath, {
    name: "EDGEPROXY_METRICS_PATH",
    default: "/metrics",
    doc: "Its path"
  }),
  otelExporterOtlpEndpoint: define(optional(url("http", "https")), {
    name: "OTEL_EXPORTER_OTLP_ENDPOINT",
    doc: "OTLP collector for traces, metrics and logs; none = off"
  }),
  otelExporterOtlpHeaders: define(optional(secret(headerValues)), {
    name: "OTEL_EXPORTER_OTLP_HEADERS",
    doc: "Headers for the collector, `key=value` with commas between"
  }),
  otelServiceName: define(name, {
    name: "OTEL_SERVICE_NAME",
    default: "edgeproxy",
    doc: "Name of the service in telemetry"
  }),
  otelResourceAttributes: define(keyValues, {
    name: "OTEL_RESOURCE_ATTRIBUTES",
    doc: "Attributes of the resource, `key=value` with commas between"
  }),
  otelTracesSampler: define(
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
  otelTracesSamplerArg: define(ratio, {
    name: "OTEL_TRACES_SAMPLER_ARG",
    default: "1",
    doc: "Share traced by the `traceidratio` samplers"
  }),
  traceClientAddress: define(boolean, {
    name: "EDGEPROXY_TRACE_CLIENT_ADDRESS",
    default: "false",
    doc: "Puts the client's address into traces"
  })
}
