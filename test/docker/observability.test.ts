import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { execFileSync } from "node:child_process"
import { readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { variables } from "../../src/config/variables.ts"
import { greeted, startWith } from "../e2e/setup.ts"
import { apiOf } from "../support/edgeApi.ts"
import type { EdgeProcess } from "../support/EdgeProcess.ts"
import { type Exposition, parse } from "../support/exposition.ts"
import { receive } from "../support/otlpReceiver.ts"
import { askedBy } from "../support/promql.ts"
import { promtool } from "../support/promtool.ts"
import { rowOf } from "../support/routingDb.ts"
import { greet, refusing, serve } from "../support/tcp.ts"

const pathOf = (name: string): string => fileURLToPath(new URL(`../../docker/${name}`, import.meta.url))
const alertsPath = pathOf("prometheus/alerts.yaml")
const alerts = readFileSync(alertsPath, "utf8")
const runbook = readFileSync(pathOf("prometheus/README.md"), "utf8")

interface Target {
  readonly expr: string
}

interface Dashboard {
  readonly uid: string
  readonly annotations: { readonly list: ReadonlyArray<Target> }
  readonly templating: {
    readonly list: ReadonlyArray<{ readonly name: string; readonly definition?: string }>
  }
  readonly panels: ReadonlyArray<{
    readonly id: number
    readonly type: string
    readonly title: string
    readonly targets?: ReadonlyArray<Target>
  }>
}

const dashboard = JSON.parse(readFileSync(pathOf("grafana/edgeproxy.json"), "utf8")) as Dashboard

const ruleExpressions = Array.from(alerts.matchAll(/^\s+expr: (.+)$/gm), ([, expression = ""]) => expression)

const panelExpressions = [
  ...dashboard.panels.flatMap(({ targets = [] }) => targets.map(({ expr }) => expr)),
  ...dashboard.annotations.list.map(({ expr }) => expr),
  ...dashboard.templating.list.flatMap(({ definition }) => {
    const [, metric] = /^label_values\((\w+), \w+\)$/.exec(definition ?? "") ?? []
    return metric === undefined ? [] : [metric]
  })
]

/** What Prometheus itself adds. */
const added = new Set(["job", "instance"])

const pageOf = Effect.fnUntraced(function* (edge: EdgeProcess) {
  const { address } = yield* edge.log("metrics endpoint")
  return yield* Effect.promise(async () => (await fetch(`http://${String(address)}/metrics`)).text())
})

/** A page of a process that has everything on, and to which everything has happened that can be made to happen. */
const everything = Effect.gen(function* () {
  const receiver = yield* receive()
  const good = yield* serve({ onPeer: greet("good") })
  const rows = [
    rowOf("good", good, { app: "shop" }),
    { id: "dead", app: "shop", region: "us", wg_ip: refusing.address, port: refusing.port },
    { ...rowOf("bad", good), port: "many" }
  ]
  const edge = yield* startWith(rows, {
    METRICS_ENABLED: "true",
    METRICS_LISTEN_ADDR: "127.0.0.1:0",
    HEALTH_CHECK_ENABLED: "true",
    HEALTH_CHECK_INTERVAL_SECS: "0.2",
    CIRCUIT_BREAKER_ENABLED: "true",
    RATE_LIMIT_ENABLED: "true",
    POOL_ENABLED: "true",
    TLS_ENABLED: "true",
    TLS_LISTEN_ADDR: "127.0.0.1:0",
    DNS_ENABLED: "true",
    DNS_LISTEN_ADDR: "127.0.0.1:0",
    ANYCAST_ENABLED: "true",
    // Nobody is there: it can't be told, which is measured too.
    ANYCAST_BIRD_SOCKET: "no-bird.ctl",
    OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url
  })
  const { peer } = yield* greeted(edge.address)
  yield* peer.finish
  yield* edge.entryCount(1)
  yield* edge.log("backend down")
  yield* (yield* apiOf(edge)).until("/ready", ({ status }) => status === 200)
  // Some parts begin after the listeners.
  const late = ["edgeproxy_tls_certificate_not_after", "edgeproxy_dns_dropped", "edgeproxy_ready", "edgeproxy_anycast"]
  let page = yield* pageOf(edge)
  for (let look = 0; look < 50 && late.some((name) => !page.includes(name)); look++) {
    yield* Effect.sleep(200)
    page = yield* pageOf(edge)
  }
  return parse(page)
})

const series = (page: Exposition, metric: string) =>
  Array.from(page.series.values(), ({ sample }) => sample).filter(({ name }) => name === metric)

/** Whether a matcher of whole values, `a` or `a|b`, finds what it names. */
const isPlain = (value: string): boolean => /^[\w*-]+(\|[\w*-]+)*$/.test(value)

/** Causes and codes that did not come about in the test, but are among those that can. */
const rare = new Set(["internal", "engine-lost", "no-backend", "no-capacity", "client-gone"])

const faultsOf = (page: Exposition, expression: string): ReadonlyArray<string> => {
  const { labels, selectors } = askedBy(expression)
  const known = new Set([...added, "le"])
  const faults: Array<string> = []
  for (const { matchers, metric } of selectors) {
    if (metric === "up") continue
    const found = series(page, metric)
    if (found.length === 0) {
      faults.push(`no metric ${metric}`)
      continue
    }
    for (const { labels } of found) for (const name in labels) known.add(name)
    for (const { label, operator, value } of matchers) {
      if (added.has(label)) continue
      const values = new Set(found.map(({ labels }) => labels[label]))
      if (values.has(undefined)) faults.push(`${metric} has no label ${label}`)
      else if (isPlain(value) && operator !== "!=") {
        for (const one of value.split("|")) {
          if (!values.has(one) && !rare.has(one)) faults.push(`${metric} has no ${label} ${one}`)
        }
      }
    }
  }
  for (const label of labels) if (!known.has(label)) faults.push(`nobody has the label ${label}`)
  return faults.map((fault) => `${fault}: ${expression}`)
}

describe("what is shipped for Prometheus and Grafana", () => {
  it("an expression is taken apart", () => {
    assert.deepStrictEqual(
      askedBy('sum by (a, le) (rate(m_total{x="1",y=~"a|b"}[5m])) / on (a) other > bool 0.5 unless third == 1'),
      {
        selectors: [
          {
            metric: "m_total",
            matchers: [
              { label: "x", operator: "=", value: "1" },
              { label: "y", operator: "=~", value: "a|b" }
            ]
          },
          { metric: "other", matchers: [] },
          { metric: "third", matchers: [] }
        ],
        labels: ["a", "le", "a"]
      }
    )
  })

  it.live("asks for metrics and labels that there are", () =>
    Effect.gen(function* () {
      const page = yield* everything
      assert.isAbove(ruleExpressions.length, 30)
      assert.isAbove(panelExpressions.length, 60)
      assert.deepStrictEqual(
        [...ruleExpressions, ...panelExpressions].flatMap((expression) => faultsOf(page, expression)),
        []
      )
      // The check can fail.
      assert.lengthOf(
        faultsOf(page, 'edgeproxy_bindngs + sum by (nobody) (edgeproxy_rejected_total{reason="weather"})'),
        3
      )
    })
  )

  it("has an entry in the list of what to do for each alert, and names settings that there are", () => {
    const names = Array.from(alerts.matchAll(/- alert: (\w+)/g), ([, name]) => name ?? "")
    assert.strictEqual(names.length, ruleExpressions.length)
    for (const name of names) assert.include(runbook, `| \`${name}\` |`)
    const known = new Set(Object.values(variables).map(({ name }) => name))
    const told = `${alerts}${runbook}`.match(/EDGEPROXY_[A-Z_]+|OTEL_[A-Z_]+/g) ?? []
    assert.deepStrictEqual(
      told.filter((name) => !known.has(name)),
      []
    )
  })

  it("the dashboard's panels have a number each, and those that show something a question", () => {
    const ids = dashboard.panels.map(({ id }) => id)
    assert.strictEqual(new Set(ids).size, ids.length)
    for (const { targets, title, type } of dashboard.panels) {
      if (type !== "row") assert.isAbove(targets?.length ?? 0, 0, title)
    }
    assert.strictEqual(dashboard.uid, "edgeproxy")
  })

  const run = (...args: ReadonlyArray<string>): string => execFileSync(promtool ?? "", args, { encoding: "utf8" })

  it.skipIf(promtool === undefined)("promtool finds nothing wrong with the rules (skips without promtool)", () => {
    assert.include(run("check", "rules", alertsPath), "SUCCESS")
  })

  it.skipIf(promtool === undefined)("the alerts fire when they should (skips without promtool)", () => {
    assert.include(run("test", "rules", pathOf("prometheus/alerts.test.yaml")), "SUCCESS")
  })
})
