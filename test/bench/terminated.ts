import * as Effect from "effect/Effect"
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { certificate } from "../support/certificates.ts"
import type { Reading } from "./Comparison.ts"
import { EDGE, edge } from "./edgeKinds.ts"
import { makeGenerator } from "./generator.ts"
import { idleOf } from "./idle.ts"
import { kindsOf } from "./kinds.ts"
import type { BenchOptions, Measure } from "./Measure.ts"
import { HAPROXY, haproxy } from "./otherKinds.ts"
import type { ProxyKind } from "./Proxy.ts"
import { compare, processorPer, type Sample } from "./relay.ts"
import type { Handshake } from "./Task.ts"

const BYTES = 200_000_000
const GIGABYTE = 1e9
const HANDSHAKES = 1_500
const MOST_IDLE = 1_500

/** Of P-256, one for all. */
const pair = certificate(undefined, ["localhost"])

const besideItsCertificate = (kind: ProxyKind): ProxyKind => ({
  ...kind,
  command: (place) => {
    writeFileSync(join(place.directory, "bench.crt"), pair.chain)
    writeFileSync(join(place.directory, "bench.key"), pair.key)
    writeFileSync(join(place.directory, "bench.pem"), pair.chain + pair.key)
    return kind.command(place)
  }
})

const kinds = kindsOf(({ program }: BenchOptions) =>
  [
    edge(EDGE, program, ({ directory, port }) => ({
      EDGEPROXY_LISTEN_ADDR: "127.0.0.1:0",
      // On a busy machine it would reset newcomers, as it should.
      EDGEPROXY_OVERLOAD_LOOP_DELAY_MS: "10000",
      EDGEPROXY_TLS_ENABLED: "true",
      EDGEPROXY_TLS_LISTEN_ADDR: `127.0.0.1:${port}`,
      EDGEPROXY_TLS_CERT: join(directory, "bench.crt"),
      EDGEPROXY_TLS_KEY: join(directory, "bench.key")
    })),
    haproxy(HAPROXY, { bind: "ssl crt bench.pem" })
  ].map(besideItsCertificate)
)

const rate: Reading<Sample> = {
  name: "rate",
  unit: "/s",
  better: "higher",
  of: ({ ms, pieces }) => (pieces * 1_000) / ms
}

const stage = Effect.fnUntraced(function* (proxies: number, { quick }: BenchOptions) {
  const { perform, targets } = yield* makeGenerator(proxies)
  const shaking = (tls: Handshake, count: number) => (port: number) =>
    Effect.map(perform({ kind: "connections", port, count, parallel: 16, tls }), (ms) => ({ pieces: count, ms }))
  const carrying = (bytes: number) => (port: number) =>
    Effect.map(perform({ kind: "bulk", port, bytes, first: "", tls: "full" }), (ms) => ({ pieces: 2 * bytes, ms }))
  const readings = [...processorPer({ name: "a handshake", unit: "us" }), rate]
  return {
    targets,
    warmUps: [shaking("full", HANDSHAKES), shaking("resumed", HANDSHAKES), carrying(BYTES / 2)],
    workloads: [
      { what: "full", through: shaking("full", HANDSHAKES), readings },
      { what: "resumed", through: shaking("resumed", HANDSHAKES), readings },
      { what: "bulk", through: carrying(BYTES), readings: processorPer({ name: "a GB", unit: "s", size: GIGABYTE }) }
    ],
    rounds: quick ? 2 : 5
  }
})

/** What it costs to end TLS. */
export const terminated: Measure = {
  name: "terminated",
  how:
    "TLS 1.3, P-256, 16 at a time: connect, handshake, 64 bytes there and back, close; and the same bytes of one connection " +
    "there and back; generator and backend of our own, which take more of the two cores than the proxies",
  run: compare([], stage, kinds)
}

/** What a connection costs whose TLS the proxy has ended and that is only there. */
export const terminatedIdle: Measure = {
  name: "terminated-idle",
  how: "as idle, by TLS 1.3",
  run: idleOf(kinds, MOST_IDLE, undefined, { tls: "full" })
}
