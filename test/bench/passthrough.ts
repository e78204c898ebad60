import * as Effect from "effect/Effect"
import { hello } from "../support/clientHello.ts"
import { EDGE, edge } from "./edgeKinds.ts"
import { makeGenerator } from "./generator.ts"
import { kindsOf } from "./kinds.ts"
import type { BenchOptions, Measure } from "./Measure.ts"
import { HAPROXY, haproxy, SPLICE } from "./otherKinds.ts"
import { compare, processorPer } from "./relay.ts"

const NAME = "www.example.com"
const first = Buffer.from(hello(NAME, "h2", "http/1.1")).toString("hex")
const BYTES = 600_000_000
const GIGABYTE = 1e9

const readsSni = ["tcp-request inspect-delay 5s", "tcp-request content accept if { req.ssl_hello_type 1 }"]

const kinds = kindsOf(({ program }: BenchOptions) => [
  edge(EDGE, program, ({ port }) => ({
    EDGEPROXY_LISTEN_ADDR: "127.0.0.1:0",
    EDGEPROXY_TLS_ENABLED: "true",
    EDGEPROXY_TLS_MODE: "passthrough",
    EDGEPROXY_TLS_LISTEN_ADDR: `127.0.0.1:${port}`,
    EDGEPROXY_TLS_SNI_ROUTES: "*.example.com=web"
  })),
  edge(`${EDGE}, plain`, program, {}),
  haproxy(`${HAPROXY}`, { options: SPLICE, lines: readsSni }),
  haproxy(`${HAPROXY}, plain`, { options: SPLICE })
])

const stage = Effect.fnUntraced(function* (proxies: number, { quick }: BenchOptions) {
  const { perform, targets } = yield* makeGenerator(proxies)
  const carrying = (bytes: number) => (port: number) =>
    Effect.map(perform({ kind: "bulk", port, bytes, first }), (ms) => ({ pieces: 2 * bytes, ms }))
  const opening = (count: number) => (port: number) =>
    Effect.map(perform({ kind: "connections", port, count, parallel: 64, first }), (ms) => ({ pieces: count, ms }))
  return {
    targets,
    warmUps: [opening(quick ? 2_000 : 6_000), carrying(BYTES / 4)],
    workloads: [
      { what: "bulk", through: carrying(BYTES), readings: processorPer({ name: "a GB", unit: "s", size: GIGABYTE }) },
      { what: "64 at a time", through: opening(3_000), readings: processorPer({ name: "a connection", unit: "us" }) }
    ],
    rounds: quick ? 3 : 7
  }
})

/** What it costs to route by server name without decrypting. */
export const passthrough: Measure = {
  name: "passthrough",
  how: "the same bytes, a ClientHello first, through listeners that route by its server name and through plain ones; both ways, generator and backend of our own",
  run: compare([], stage, kinds)
}
