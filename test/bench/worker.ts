import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Effect from "effect/Effect"
import type { BenchOptions, Measured } from "./Measure.ts"
import { measures } from "./measures.ts"

/** The process of one measure: runs it and sends what it found to its parent, or prints it when it was started by hand. */
const [name, options] = process.argv.slice(2)
const measure = measures.find((each) => each.name === name)

const work = Effect.gen(function* () {
  if (measure === undefined) return yield* Effect.fail(new Error(`no measure ${name}`))
  const findings = yield* Effect.scoped(measure.run(JSON.parse(options ?? "{}") as BenchOptions))
  const measured: Measured = { measure: measure.name, how: measure.how, ...findings }
  if (process.send === undefined) return void process.stdout.write(`${JSON.stringify(measured, undefined, 2)}\n`)
  yield* Effect.callback<void>((resume) => void process.send?.(measured, () => resume(Effect.void)))
  process.disconnect?.()
})

NodeRuntime.runMain(work)
