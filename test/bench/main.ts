import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Effect from "effect/Effect"
import { writeFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { parseArgs } from "node:util"
import { isolated } from "./isolated.ts"
import type { Measured } from "./Measure.ts"
import { measures } from "./measures.ts"
import * as report from "./report.ts"

const usage = `usage: npm run bench -- [--only name,name] [--json FILE] [--program FILE]

  --only     run these measures only; a name may be the beginning of one
  --json     write the figures to this file as well
  --program  measure this program instead of dist/edgeproxy.js

measures: ${measures.map(({ name }) => name).join(", ")}
`

const bundle = fileURLToPath(new URL("../../dist/edgeproxy.js", import.meta.url))

const { values } = parseArgs({
  options: {
    only: { type: "string" },
    json: { type: "string" },
    program: { type: "string", default: bundle },
    help: { type: "boolean", short: "h", default: false }
  }
})

const wanted = values.only?.split(",").filter((name) => name !== "") ?? [""]
const selected = measures.filter(({ name }) => wanted.some((prefix) => name.startsWith(prefix)))

const bench = Effect.gen(function* () {
  const results: Array<Measured> = []
  for (const { name } of selected) {
    process.stderr.write(`${name} ...`)
    const before = performance.now()
    results.push(yield* isolated(name, { program: values.program }))
    process.stderr.write(` ${((performance.now() - before) / 1_000).toFixed(1)} s\n`)
  }
  const { cores, cpu, kernel, node } = report.machine()
  process.stdout.write(`\nNode ${node}, ${cores} cores of ${cpu}, kernel ${kernel}\n\n${report.table(results)}\n`)
  if (values.json !== undefined) writeFileSync(values.json, report.json(results))
})

if (values.help || selected.length === 0) {
  process.stderr.write(usage)
  process.exitCode = values.help ? 0 : 64
} else NodeRuntime.runMain(bench)
