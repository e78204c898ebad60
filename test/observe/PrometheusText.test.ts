import { assert, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Schema from "effect/Schema"
import { cellsOf, counter, gauge, histogram, type Labels, noLabels, observe } from "../../src/observe/Metric.ts"
import * as PrometheusText from "../../src/observe/PrometheusText.ts"
import { CHUNK_BYTES } from "../../src/observe/Utf8Chunks.ts"
import { between, oneOf } from "../support/arbitraries.ts"
import { parse, textOf } from "../support/exposition.ts"

const awkward = Arbitrary.map(
  Arbitrary.array(oneOf(["a", '"', "\\", "\n", "n", "{", "}", ",", "=", " ", "#", "\r", "\t", "é", "界", "🙂"])),
  (parts) => parts.join("")
)
const text = Arbitrary.map(Arbitrary.all([awkward, Arbitrary.schema(Schema.String)]), (parts) => parts.join(""))

const labelSet = Arbitrary.all({ backend: text, app: text })

const page = (fill: (rendering: PrometheusText.Rendering) => void, format?: PrometheusText.Format): string => {
  const rendering = PrometheusText.make(format)
  fill(rendering)
  return textOf(rendering.finish())
}

// A lone surrogate has no UTF-8: like any encoder this one puts U+FFFD in its place.
const wellFormed = (labels: Labels): Labels =>
  Object.fromEntries(Object.entries(labels).map(([name, value]) => [name, value.toWellFormed()]))

describe("the text format", () => {
  it("OpenMetrics names counters' families without _total, has the exemplars, and an end", () => {
    const seconds = histogram("t_seconds", 'It\'s "time".', [0.5])
    const cells = new Float64Array(cellsOf(seconds.bounds))
    for (const value of [0.25, 2]) observe(cells, 0, seconds.bounds, value)
    const exemplars = [undefined, { traceId: "0af7651916cd43dd8448eb211c80319c", value: 2, atMs: 1_500.25 }]
    const fill = (sink: PrometheusText.Rendering): void => {
      sink.sample(counter("a_total", "Of a."), { by: "x" }, 3)
      sink.histogram(seconds, noLabels, cells, exemplars)
    }
    assert.strictEqual(
      page(fill, "openmetrics"),
      `# HELP a Of a.
# TYPE a counter
a_total{by="x"} 3
# HELP t_seconds It's \\"time\\".
# TYPE t_seconds histogram
t_seconds_bucket{le="0.5"} 1
t_seconds_bucket{le="+Inf"} 2 # {trace_id="0af7651916cd43dd8448eb211c80319c"} 2 1.500
t_seconds_sum 2.25
t_seconds_count 2
# EOF
`
    )
    assert.notInclude(page(fill), "trace_id")
  })

  it("looks like this", () => {
    const seconds = histogram("t_seconds", "Time it took.", [0.5, 1])
    const cells = new Float64Array(cellsOf(seconds.bounds))
    for (const value of [0.25, 0.5, 2]) observe(cells, 0, seconds.bounds, value)
    const text = page((sink) => {
      sink.sample(counter("a_total", "Of a\nkind \\."), { by: 'x"y\\z\n', at: "" }, 3)
      sink.sample(gauge("b", "Plain."), noLabels, -0.5)
      sink.histogram(seconds, { l: "1" }, cells)
      sink.histogram(histogram("u_seconds", "None.", [1]), noLabels, new Float64Array(3))
    })
    assert.strictEqual(
      text,
      String.raw`# HELP a_total Of a\nkind \\.
# TYPE a_total counter
a_total{by="x\"y\\z\n",at=""} 3
# HELP b Plain.
# TYPE b gauge
b -0.5
# HELP t_seconds Time it took.
# TYPE t_seconds histogram
t_seconds_bucket{l="1",le="0.5"} 2
t_seconds_bucket{l="1",le="1"} 2
t_seconds_bucket{l="1",le="+Inf"} 3
t_seconds_sum{l="1"} 2.75
t_seconds_count{l="1"} 3
# HELP u_seconds None.
# TYPE u_seconds histogram
u_seconds_bucket{le="1"} 0
u_seconds_bucket{le="+Inf"} 0
u_seconds_sum 0
u_seconds_count 0
`
    )
  })

  it.prop(
    "gives back every label and value, whatever is in them",
    [Arbitrary.array(Arbitrary.all({ labels: labelSet, value: Arbitrary.schema(Schema.Number) })), text],
    ([samples, help]) => {
      const metric = gauge("m", help)
      // A series is there once; the format can't tell two label sets apart that the encoding makes the same.
      const unique = new Map(
        samples.map(({ labels, value }) => [JSON.stringify(wellFormed(labels)), { labels, value }])
      )
      const parsed = parse(
        page((sink) => {
          for (const { labels, value } of unique.values()) sink.sample(metric, labels, value)
        })
      )
      const family = parsed.families.get("m")
      assert.strictEqual(family?.help ?? help.toWellFormed(), help.toWellFormed())
      assert.deepStrictEqual(
        family?.samples ?? [],
        Array.from(unique.values(), ({ labels, value }) => ({
          name: "m",
          labels: wellFormed(labels),
          // The sign of a zero means nothing to a scraper.
          value: value + 0
        }))
      )
    }
  )

  it.prop(
    "keeps the series of a metric together, in whatever order they come",
    [
      Arbitrary.array(
        Arbitrary.all({ metric: Arbitrary.schema(between(0, 3)), series: Arbitrary.schema(between(0, 50)) })
      )
    ],
    ([order]) => {
      const metrics = Array.from({ length: 4 }, (_, index) => gauge(`m${index}`, "One of four."))
      const unique = new Map(order.map((each) => [`${each.metric} ${each.series}`, each]))
      const parsed = parse(
        page((sink) => {
          for (const { metric, series } of unique.values()) {
            const of = metrics[metric]
            if (of !== undefined) sink.sample(of, { series: `${series}` }, series)
          }
        })
      )
      for (const { metric, series } of unique.values()) {
        assert.strictEqual(parsed.value(`m${metric}`, { series: `${series}` }), series)
      }
      assert.strictEqual(parsed.series.size, unique.size)
    }
  )

  it.prop(
    "a histogram's buckets add up to its count",
    [Arbitrary.array(Arbitrary.schema(between(0, 60)))],
    ([values]) => {
      const metric = histogram("h_seconds", "Times.", [10, 20, 30])
      const cells = new Float64Array(cellsOf(metric.bounds))
      for (const value of values) observe(cells, 0, metric.bounds, value)
      const parsed = parse(page((sink) => sink.histogram(metric, noLabels, cells)))
      for (const le of [10, 20, 30]) {
        assert.strictEqual(
          parsed.value("h_seconds_bucket", { le: `${le}` }),
          values.filter((value) => value <= le).length
        )
      }
      assert.strictEqual(parsed.value("h_seconds_bucket", { le: "+Inf" }), values.length)
      assert.strictEqual(parsed.value("h_seconds_count"), values.length)
      assert.strictEqual(
        parsed.value("h_seconds_sum"),
        values.reduce((sum, value) => sum + value, 0)
      )
    }
  )

  it("comes in small pieces however long it is, and in one when it is short", () => {
    const many = PrometheusText.make()
    const one = gauge("one", "Long.")
    const other = gauge("other", "Short.")
    for (let index = 0; index < 50_000; index++) {
      many.sample(one, { backend: `backend-${index}`, app: "a" }, index)
      if (index % 1_000 === 0) many.sample(other, { backend: `backend-${index}` }, index)
    }
    const long = many.finish()
    assert.isAbove(long.chunks.length, 20)
    assert.isAtMost(Math.max(...long.chunks.map(({ length }) => length)), CHUNK_BYTES)
    assert.strictEqual(
      long.bytes,
      long.chunks.reduce((sum, { length }) => sum + length, 0)
    )
    const parsed = parse(textOf(long))
    assert.strictEqual(parsed.series.size, 50_050)

    const few = PrometheusText.make()
    few.sample(one, noLabels, 1)
    few.sample(other, noLabels, 2)
    assert.lengthOf(few.finish().chunks, 1)
    assert.deepStrictEqual(PrometheusText.make().finish(), { chunks: [], bytes: 0 })
  })
})
