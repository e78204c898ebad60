import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { randomBytes } from "node:crypto"
import { LiveConfig } from "../src/config/LiveConfig.ts"
import { DnsCounters } from "../src/dns/DnsCounters.ts"
import { dnsMetrics } from "../src/dns/dnsMetrics.ts"
import { DnsServer } from "../src/dns/DnsServer.ts"
import { Collectors } from "../src/observe/Collectors.ts"
import * as NodeDnsTransport from "./dns/NodeDnsTransport.ts"
import { limitsOf } from "./dns/TcpServer.ts"
import { Host } from "./host/Host.ts"

const metrics = Layer.effectDiscard(
  Effect.gen(function* () {
    const { add } = yield* Collectors
    yield* add(yield* dnsMetrics)
  })
)

/** The DNS server. A file of its own, which only who wants it loads. */
export const DnsEndpoint = Layer.unwrap(
  Effect.gen(function* () {
    const live = yield* LiveConfig
    const config = live.current()
    const { fdLimit } = yield* Host
    return DnsServer.layer({
      address: config.dnsListenAddr,
      domain: config.dnsDomain,
      ttlMs: config.dnsTtlMs,
      rateLimit: config.dnsRateLimit,
      pops: config.pops,
      popRegion: config.region,
      spillAt: () => live.current().spillAt,
      cookieSecret: randomBytes(16)
    }).pipe(
      Layer.provide(NodeDnsTransport.layer({ limits: limitsOf(fdLimit) })),
      Layer.merge(metrics),
      Layer.provide(DnsCounters.layer)
    )
  })
)
