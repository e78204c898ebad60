import * as Effect from "effect/Effect"
import { v2 } from "../support/proxyHeader.ts"
import { EDGE, edge } from "./edgeKinds.ts"
import { makeGenerator } from "./generator.ts"
import { kindsOf } from "./kinds.ts"
import type { BenchOptions, Measure } from "./Measure.ts"
import { HAPROXY, haproxy } from "./otherKinds.ts"
import { compare, processorPer } from "./relay.ts"

const header = Buffer.from(v2({ addresses: [127, 1, 0, 7, 127, 0, 0, 1, 0xc3, 0x50, 0, 80] })).toString("hex")
const PLAIN = "plain"

const kinds = kindsOf(({ program }: BenchOptions) => [
  edge(EDGE, program, {
    EDGEPROXY_PROXY_PROTOCOL_IN: "required",
    EDGEPROXY_PROXY_PROTOCOL_TRUSTED_CIDRS: "127.0.0.0/8",
    EDGEPROXY_PROXY_PROTOCOL_OUT: "v2"
  }),
  edge(`${EDGE}, ${PLAIN}`, program, {}),
  haproxy(HAPROXY, { bind: "accept-proxy", server: "send-proxy-v2" }),
  haproxy(`${HAPROXY}, ${PLAIN}`)
])

const stage = Effect.fnUntraced(function* (proxies: number, { quick }: BenchOptions) {
  const { perform, targets } = yield* makeGenerator(proxies)
  const opening = (count: number) => (port: number, proxy: string) =>
    Effect.map(
      perform({ kind: "connections", port, count, parallel: 64, ...(proxy.endsWith(PLAIN) ? {} : { first: header }) }),
      (ms) => ({ pieces: count, ms })
    )
  return {
    targets,
    // Compilers need as much before they are at rest.
    warmUps: [opening(quick ? 4_000 : 12_000)],
    workloads: [
      { what: "64 at a time", through: opening(5_000), readings: processorPer({ name: "a connection", unit: "us" }) }
    ],
    rounds: quick ? 3 : 7
  }
})

/** What it costs a connection to read a PROXY header of version 2 and to send another. */
export const proxyProtocol: Measure = {
  name: "proxy-protocol",
  how: "each connection begins with a PROXY header of version 2, and the backend gets one (edgeProxy: with all its values); beside it the same without; generator and backend of our own, 64 bytes there and back",
  run: compare([], stage, kinds)
}
