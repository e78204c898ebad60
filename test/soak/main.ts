import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Effect from "effect/Effect"
import { writeFileSync } from "node:fs"
import { parseArgs } from "node:util"
import { report } from "./report.ts"
import { soak } from "./soak.ts"

const usage = `usage: npm run soak -- [options]

  --minutes N    how long (20)
  --engine NAME  splice or node (splice)
  --json F       write every sample to this file
`

const { values } = parseArgs({
  options: {
    minutes: { type: "string", default: "20" },
    engine: { type: "string", default: process.platform === "linux" ? "splice" : "node" },
    json: { type: "string" },
    help: { type: "boolean", short: "h", default: false }
  }
})

const minutes = Number(values.minutes)
const { engine } = values

if (values.help || !(minutes > 0) || (engine !== "splice" && engine !== "node")) {
  process.stderr.write(usage)
  process.exitCode = values.help ? 0 : 64
} else {
  const program = Effect.gen(function* () {
    const soaked = yield* soak({ minutes, engine, progress: (line) => process.stderr.write(`${line}\n`) })
    const { failures, text } = report(soaked)
    if (values.json !== undefined) writeFileSync(values.json, JSON.stringify(soaked.series))
    process.stdout.write(`\n${engine}, ${minutes} min\n${text}`)
    if (failures.length > 0) process.exitCode = 1
  })
  NodeRuntime.runMain(program)
}
