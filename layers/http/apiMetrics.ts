import * as Effect from "effect/Effect"
import { type Collector, counter, gauge, noLabels } from "../../src/observe/Metric.ts"
import { ApiServer } from "./ApiServer.ts"

const requests = counter(
  "edgeproxy_api_requests_total",
  "Requests that the API has answered, by status code; 0: none was sent."
)
const active = gauge("edgeproxy_api_requests_active", "Requests of the API that are being answered.")
const connections = gauge("edgeproxy_api_connections", "Connections of the API's clients.")

/** What the API has to do. */
export const apiMetrics = Effect.map(ApiServer, ({ counts }): Collector => ({
  collect: (sink) =>
    Effect.sync(() => {
      const now = counts()
      for (const [code, count] of now.answers) sink.sample(requests, { code: `${code}` }, count)
      sink.sample(active, noLabels, now.active)
      sink.sample(connections, noLabels, now.connections)
    })
}))
