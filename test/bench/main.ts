import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Effect from "effect/Effect"
import { writeFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { parseArgs } from "node:util"
import { isolated } from "./isolated.ts"
import type { BenchOptions, Measured } from "./Measure.ts"
import { measures } from "./measures.ts"
import * as packages from "./packages.ts"
import { picture } from "./picture.ts"
import * as report from "./report.ts"

const usage = `usage: npm run bench -- [options]

  --only a,b     run these measures only; a name may be the beginning of one
  --proxies a,b  measure these proxies only; again beginnings
  --quick        less of everything: a first look in under two minutes
  --threads      measure edgeProxy with one and with two data-plane threads as well
  --user NAME    run the proxies as this user
  --program F    measure this program instead of dist/edgeproxy.js
  --json F       write the figures to this file as well
  --svg F        write a picture of them to this file
  --install      install what is missing from Debian's packages

measures: ${measures.map(({ name }) => name).join(", ")}
`

// Ordinary users do not look for programs there.
process.env["PATH"] = `${process.env["PATH"] ?? ""}:/usr/sbin:/sbin`

const bundle = fileURLToPath(new URL("../../dist/edgeproxy.js", import.meta.url))

const { values } = parseArgs({
  options: {
    only: { type: "string", default: "" },
    proxies: { type: "string", default: "" },
    quick: { type: "boolean", default: false },
    threads: { type: "boolean", default: false },
    user: { type: "string" },
    program: { type: "string", default: bundle },
    json: { type: "string" },
    svg: { type: "string" },
    install: { type: "boolean", default: false },
    help: { type: "boolean", short: "h", default: false }
  }
})

const list = (value: string): ReadonlyArray<string> => value.split(",").filter((name) => name !== "")

const wanted = list(values.only)
const selected = measures.filter(({ name }) => wanted.length === 0 || wanted.some((prefix) => name.startsWith(prefix)))
const options: BenchOptions = { ...values, proxies: list(values.proxies) }

const prepare = Effect.sync(() => {
  const missing = packages.missingPackages()
  if (missing.length === 0) return
  if (values.install && packages.install(missing)) return
  process.stderr.write(`missing Debian packages: ${missing.join(" ")}; --install installs them\n`)
})

const measured = Effect.fnUntraced(function* (name: string, how: string) {
  process.stderr.write(`${name} ...`)
  const before = performance.now()
  const result = yield* isolated(name, options).pipe(
    Effect.catch((error) => Effect.succeed<Measured>({ measure: name, how, rows: [], failures: [error.message] }))
  )
  process.stderr.write(` ${((performance.now() - before) / 1_000).toFixed(1)} s\n`)
  return result
})

const bench = Effect.gen(function* () {
  yield* prepare
  const results = yield* Effect.forEach(selected, ({ how, name }) => measured(name, how))
  const { cores, cpu, kernel, node } = report.machine()
  process.stdout.write(`\nNode ${node}, ${cores} cores of ${cpu}, kernel ${kernel}\n\n${report.text(results)}`)
  if (values.json !== undefined) writeFileSync(values.json, report.json(results, options))
  if (values.svg !== undefined) writeFileSync(values.svg, picture(results, report.machine()))
  const failures = results.flatMap(({ failures = [] }) => failures)
  if (failures.length > 0) return yield* Effect.fail(new Error(`${failures.length} failed`))
})

if (values.help || selected.length === 0) {
  process.stderr.write(usage)
  process.exitCode = values.help ? 0 : 64
} else NodeRuntime.runMain(bench)
