import * as Effect from "effect/Effect"
import { join } from "node:path"
import { createDatabase } from "../support/routingDb.ts"
import { collector } from "./collector.ts"
import { edge } from "./edgeKinds.ts"
import { httpBackends } from "./httpBackends.ts"
import { type BenchOptions, type Findings, type Measure, type Row, skipped } from "./Measure.ts"
import { lacking } from "./packages.ts"
import * as procfs from "./procfs.ts"
import { type Proxy, type ProxyKind, startProxy } from "./Proxy.ts"
import { whileScraped } from "./scrape.ts"
import { median, turned } from "./statistics.ts"
import { wrk } from "./wrk.ts"

const SECONDS = 1
const SETTLE_MS = 100
const GOAL = 0.1

const BACKENDS = 1_000
const SCRAPES = 20
/** Longer than a reading is shared. */
const APART_MS = 700

const silent = { EDGEPROXY_METRICS_ENABLED: "false", EDGEPROXY_ACCESS_LOG: "off" }
const quiet = "nothing"
const usual = "metrics, access log, traces at 1 %"

const kindsOf = (program: string, url: string): ReadonlyArray<ProxyKind> => {
  const traced = (ratio: string) => ({
    OTEL_EXPORTER_OTLP_ENDPOINT: url,
    OTEL_TRACES_SAMPLER: "traceidratio",
    OTEL_TRACES_SAMPLER_ARG: ratio
  })
  return [
    { ...edge(quiet, program, silent), scraped: false },
    edge("metrics and access log", program, {}),
    edge(usual, program, traced("0.01")),
    edge("metrics, access log, all traced", program, traced("1"))
  ]
}

/** Processor microseconds of a connection, in one round. */
const costOf = Effect.fnUntraced(function* ({ metrics, pid, port }: Proxy) {
  const before = procfs.cpuMs(pid)
  const { pieces } = yield* whileScraped(metrics, wrk(port, { connections: 64, seconds: SECONDS, close: true }))
  yield* Effect.sleep(SETTLE_MS)
  return ((procfs.cpuMs(pid) - before) * 1_000) / pieces
})

const perConnection = Effect.fnUntraced(function* ({ program, quick, user }: BenchOptions) {
  const { url } = yield* collector
  const kinds = kindsOf(program, url)
  const targets = yield* httpBackends(kinds.length)
  const proxies = yield* Effect.forEach(kinds, (kind, i) => startProxy(kind, targets[i] ?? 0, user))
  const costs = new Map(proxies.map(({ name }): [string, Array<number>] => [name, []]))
  for (const proxy of proxies) yield* costOf(proxy)
  for (let round = 0; round < (quick ? 3 : 9); round++) {
    for (const proxy of turned(proxies, round)) costs.get(proxy.name)?.push(yield* costOf(proxy))
  }
  const base = costs.get(quiet) ?? []
  return Array.from(costs, ([name, rounds]): Row => {
    const share = median(rounds.map((cost, round) => cost / (base[round] ?? Number.NaN) - 1))
    return {
      what: `a connection with ${name}`,
      figures: [
        { name: "processor", value: median(rounds), unit: "us" },
        { name: "more than with nothing", value: share * 100, unit: "%" }
      ],
      ...(name === usual ? { goal: { text: "<= 10 % more", met: share <= GOAL } } : {})
    }
  })
})

/** A table of many backends; those of the other measures are ten. */
const large = (program: string): ProxyKind => ({
  ...edge("large table", program, { EDGEPROXY_HEALTH_CHECK_ENABLED: "false" }),
  command: ({ directory, target }) => {
    const rows = Array.from({ length: BACKENDS }, (_, i) => ({
      id: `node-${i}`,
      app: "web",
      region: "sa",
      wg_ip: "127.0.0.1",
      port: target
    }))
    createDatabase(join(directory, "routing.db"), rows)
    return [process.execPath, program]
  }
})

const scraping = Effect.fnUntraced(function* ({ program, user }: BenchOptions) {
  const [target = 0] = yield* httpBackends(1)
  const { metrics = "", pid } = yield* startProxy(large(program), target, user)
  const read = Effect.promise(async () => {
    const before = { at: performance.now(), cpu: procfs.cpuMs(pid) }
    const text = await (await fetch(metrics, { headers: { accept: "application/openmetrics-text" } })).text()
    return { ms: performance.now() - before.at, cpuMs: procfs.cpuMs(pid) - before.cpu, bytes: text.length }
  })
  yield* read
  const scrapes = yield* Effect.forEach(Array.from({ length: SCRAPES }), () =>
    Effect.andThen(Effect.sleep(APART_MS), read)
  )
  const row: Row = {
    what: `a scrape of ${BACKENDS} backends`,
    figures: [
      { name: "time", value: median(scrapes.map(({ ms }) => ms)), unit: "ms" },
      { name: "processor", value: scrapes.reduce((sum, { cpuMs }) => sum + cpuMs, 0) / SCRAPES, unit: "ms" },
      { name: "page", value: (scrapes[0]?.bytes ?? 0) / 1_000, unit: "kB" }
    ]
  }
  return row
})

/** What it costs to be seen. */
export const observability: Measure = {
  name: "observability",
  how: "wrk with `Connection: close` to nginx through proxies that tell nothing, and more and more; metrics read once a second, spans sent to a collector",
  run: Effect.fnUntraced(function* (options: BenchOptions) {
    const lack = lacking(["wrk", "nginx"])
    if (lack !== undefined) return { rows: [skipped("all", lack)] } satisfies Findings
    return { rows: [...(yield* perConnection(options)), yield* scraping(options)] } satisfies Findings
  })
}
