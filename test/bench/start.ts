import * as Effect from "effect/Effect"
import { mkdirSync } from "node:fs"
import { join } from "node:path"
import { createDatabase } from "../support/routingDb.ts"
import { tempDirectory } from "../support/tempDirectory.ts"
import { type BenchOptions, figure, type Measure } from "./Measure.ts"
import { freePort } from "./freePort.ts"
import { awaitEnd, awaitListening, program } from "./Program.ts"
import { median, medianRatio, turned } from "./statistics.ts"

const RUNS = 20
const QUICK_RUNS = 8
const WARM_UP = 2
const RETRY_MS = 1
const GOAL = 3

/** Milliseconds from the spawn to a bare Node that has ended. */
const bareNode = Effect.gen(function* () {
  const before = performance.now()
  yield* awaitEnd(yield* program(process.execPath, ["-e", "0"], { stdio: "ignore" }))
  return performance.now() - before
}).pipe(Effect.scoped)

/** Milliseconds from the spawn to the first connection that is taken. */
const listening = Effect.fnUntraced(function* (file: string, cwd: string, cache: string) {
  const port = yield* Effect.promise(freePort)
  const env = {
    ...process.env,
    EDGEPROXY_LISTEN_ADDR: `127.0.0.1:${port}`,
    EDGEPROXY_API_LISTEN_ADDR: "127.0.0.1:0",
    EDGEPROXY_ACCESS_LOG: "off",
    NODE_COMPILE_CACHE: cache
  }
  const before = performance.now()
  const child = yield* program(process.execPath, [file], { cwd, env, stdio: "ignore" })
  yield* awaitListening(child, port, RETRY_MS)
  return performance.now() - before
}, Effect.scoped)

const run = Effect.fnUntraced(function* ({ program: file, quick }: BenchOptions) {
  const directory = yield* tempDirectory
  createDatabase(join(directory, "routing.db"), [
    { id: "sa-node-1", app: "web", region: "sa", country: "BR", wg_ip: "127.0.0.1", port: 9 }
  ])
  let caches = 0
  const freshCache = (): string => {
    const path = join(directory, `cache-${caches++}`)
    mkdirSync(path)
    return path
  }
  const warm = freshCache()
  const cases = [
    { times: Array<number>(), go: () => bareNode },
    { times: Array<number>(), go: () => listening(file, directory, warm) },
    { times: Array<number>(), go: () => listening(file, directory, freshCache()) }
  ] as const
  for (let i = 0; i < (quick ? QUICK_RUNS : RUNS) + WARM_UP; i++) {
    for (const { go, times } of turned(cases, i)) {
      const ms = yield* go()
      if (i >= WARM_UP) times.push(ms)
    }
  }
  const [node, again, first] = cases.map(({ times }) => times) as [Array<number>, Array<number>, Array<number>]
  const ratio = medianRatio(again, node)
  return {
    rows: [
      { what: "node -e 0, to its end", figures: [figure("time", median(node), "ms")] },
      {
        what: "edgeProxy, to its first accepted connection",
        figures: [figure("time", median(again), "ms"), figure("to node", ratio, "x")],
        goal: { text: `<= ${GOAL}x node`, met: ratio <= GOAL }
      },
      {
        what: "the same, nothing in Node's compile cache yet",
        figures: [figure("time", median(first), "ms"), figure("to node", medianRatio(first, node), "x")]
      }
    ]
  }
})

/** From exec to serving. */
export const start: Measure = {
  name: "start",
  how: `from spawn until a connection, tried every ${RETRY_MS} ms, succeeds; ${RUNS} interleaved runs, ${QUICK_RUNS} when quick; medians, ratios taken run by run`,
  run
}
