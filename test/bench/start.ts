import * as Effect from "effect/Effect"
import { mkdirSync } from "node:fs"
import * as net from "node:net"
import { join } from "node:path"
import { createDatabase } from "../support/routingDb.ts"
import { tempDirectory } from "../support/tempDirectory.ts"
import { type BenchOptions, figure, type Measure } from "./Measure.ts"
import { freePort } from "./freePort.ts"
import { awaitEnd, program } from "./Program.ts"
import * as procfs from "./procfs.ts"
import { median, medianRatio, turned } from "./statistics.ts"

const RUNS = 20
const QUICK_RUNS = 8
const WARM_UP = 2
const RETRY_MS = 1
const REST_MS = 1_000
const GOAL = 2

/** Milliseconds from the spawn. */
interface Start {
  readonly listening: number
  readonly serving: number
}

/** To a bare Node that has ended. */
const bareNode = Effect.gen(function* () {
  const before = performance.now()
  yield* awaitEnd(yield* program(process.execPath, ["-e", "0"], { stdio: "ignore" }))
  const ms = performance.now() - before
  return { listening: ms, serving: ms }
}).pipe(Effect.scoped)

/** A backend that says a byte to whoever comes; its port. */
const backend = Effect.acquireRelease(
  Effect.callback<net.Server>((resume) => {
    const server = net.createServer((socket) => void socket.on("error", () => undefined).end("x"))
    server.listen(0, "127.0.0.1", () => resume(Effect.succeed(server)))
  }),
  (server) => Effect.sync(() => server.close())
).pipe(
  Effect.map((server) => {
    const address = server.address()
    return typeof address === "object" ? (address?.port ?? 0) : 0
  })
)

/** To the first connection that is taken, tried every millisecond, and to the first byte of the backend on it. */
const firstClient = (port: number, before: number): Effect.Effect<Start> =>
  Effect.callback((resume) => {
    let retry: NodeJS.Timeout | undefined
    let socket: net.Socket | undefined
    const attempt = (): void => {
      let listening = Number.NaN
      socket = net.connect(port, "127.0.0.1")
      socket.once("connect", () => (listening = performance.now() - before))
      socket.once("error", () => (retry = setTimeout(attempt, RETRY_MS)))
      socket.once("data", () => {
        socket?.destroy()
        resume(Effect.succeed({ listening, serving: performance.now() - before }))
      })
    }
    attempt()
    return Effect.sync(() => {
      clearTimeout(retry)
      socket?.destroy()
    })
  })

const started = Effect.fnUntraced(function* (file: string, cwd: string, cache: string) {
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
  return { start: yield* firstClient(port, before), pid: child.pid ?? 0 }
})

const run = Effect.fnUntraced(function* ({ program: file, quick }: BenchOptions) {
  const directory = yield* tempDirectory
  const port = yield* backend
  createDatabase(join(directory, "routing.db"), [
    { id: "sa-node-1", app: "web", region: "sa", country: "BR", wg_ip: "127.0.0.1", port }
  ])
  let caches = 0
  const freshCache = (): string => {
    const path = join(directory, `cache-${caches++}`)
    mkdirSync(path)
    return path
  }
  const warm = freshCache()
  const edge = (cache: string) => Effect.scoped(Effect.map(started(file, directory, cache), ({ start }) => start))
  const cases = [
    { starts: Array<Start>(), go: () => bareNode },
    { starts: Array<Start>(), go: () => edge(warm) },
    { starts: Array<Start>(), go: () => edge(freshCache()) }
  ] as const
  for (let i = 0; i < (quick ? QUICK_RUNS : RUNS) + WARM_UP; i++) {
    for (const { go, starts } of turned(cases, i)) {
      const start = yield* go()
      if (i >= WARM_UP) starts.push(start)
    }
  }
  const resting = yield* Effect.scoped(
    Effect.gen(function* () {
      const { pid } = yield* started(file, directory, warm)
      yield* Effect.sleep(REST_MS)
      return procfs.residentBytes(pid)
    })
  )
  const [node, again, first] = cases.map(({ starts }) => starts) as [Array<Start>, Array<Start>, Array<Start>]
  const times = (starts: ReadonlyArray<Start>, which: keyof Start) => starts.map((start) => start[which])
  const row = (what: string, starts: ReadonlyArray<Start>, which: keyof Start) => ({
    what,
    figures: [
      figure("time", median(times(starts, which)), "ms"),
      figure("to node", medianRatio(times(starts, which), times(node, which)), "x")
    ]
  })
  const ratio = medianRatio(times(again, "listening"), times(node, "listening"))
  return {
    rows: [
      { what: "node -e 0, to its end", figures: [figure("time", median(times(node, "listening")), "ms")] },
      {
        ...row("edgeProxy, to its first taken connection", again, "listening"),
        goal: { text: `<= ${GOAL}x node`, met: ratio <= GOAL }
      },
      row("edgeProxy, to the backend's first byte on it", again, "serving"),
      row("the same to a connection, nothing in Node's compile cache", first, "listening"),
      row("the same to the first byte, nothing in Node's compile cache", first, "serving"),
      { what: "edgeProxy at rest", figures: [figure("resident memory", resting / 1_048_576, "MB")] }
    ]
  }
})

/** From exec to listening, and to serving. */
export const start: Measure = {
  name: "start",
  how: `from spawn until a connection, tried every ${RETRY_MS} ms, succeeds, and until it has a byte of the backend; ${RUNS} interleaved runs, ${QUICK_RUNS} when quick; medians, ratios taken run by run`,
  run
}
