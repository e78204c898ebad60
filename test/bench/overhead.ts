import * as Effect from "effect/Effect"
import { once } from "node:events"
import * as net from "node:net"
import { edgeKinds } from "./edgeKinds.ts"
import { type BenchOptions, figure, type Measure } from "./Measure.ts"
import { startProxy } from "./Proxy.ts"
import { median, quantile, turned } from "./statistics.ts"

const ROUNDS = 20
const QUICK_ROUNDS = 5
const EACH = 200
const GOAL_MS = 1

/** Gives every byte back; its port. */
const echo = Effect.acquireRelease(
  Effect.callback<net.Server>((resume) => {
    const server = net.createServer({ noDelay: true }, (socket) => {
      socket.on("error", () => undefined).pipe(socket)
    })
    server.listen(0, "127.0.0.1", () => resume(Effect.succeed(server)))
  }),
  (server) => Effect.sync(() => server.close())
)

const portOf = (server: net.Server): number => {
  const address = server.address()
  return typeof address === "object" ? (address?.port ?? 0) : 0
}

const opened = async (port: number): Promise<net.Socket> => {
  const socket = net.connect({ port, host: "127.0.0.1", noDelay: true })
  await once(socket, "connect")
  return socket
}

/** Milliseconds there and back, one byte at a time. */
const roundTrips = async (port: number): Promise<ReadonlyArray<number>> => {
  const socket = await opened(port)
  const times: Array<number> = []
  for (let i = 0; i < EACH; i++) {
    const before = performance.now()
    socket.write("x")
    await once(socket, "data")
    times.push(performance.now() - before)
  }
  socket.destroy()
  return times
}

/** Milliseconds from the connect to the first byte that comes back. */
const firstBytes = async (port: number): Promise<ReadonlyArray<number>> => {
  const times: Array<number> = []
  for (let i = 0; i < EACH; i++) {
    const before = performance.now()
    const socket = await opened(port)
    socket.write("x")
    await once(socket, "data")
    times.push(performance.now() - before)
    socket.end()
    await once(socket, "close")
  }
  return times
}

const works = [
  { what: "there and back on a kept connection", go: roundTrips },
  { what: "from connect to the first byte back", go: firstBytes }
] as const

const run = Effect.fnUntraced(function* (options: BenchOptions) {
  const target = portOf(yield* echo)
  const [kind] = edgeKinds(options)
  if (kind === undefined) return { rows: [] }
  const { port } = yield* startProxy(kind, target, options.user)
  const ways = [
    { port: target, times: works.map((): Array<number> => []) },
    { port, times: works.map((): Array<number> => []) }
  ] as const
  const rounds = options.quick ? QUICK_ROUNDS : ROUNDS
  for (let round = -1; round < rounds; round++) {
    for (const way of turned(ways, round + 1)) {
      for (const [index, { go }] of works.entries()) {
        const times = yield* Effect.promise(() => go(way.port))
        if (round >= 0) way.times[index]?.push(...times)
      }
    }
  }
  const rows = works.map(({ what }, index) => {
    const [direct, through] = ways.map(({ times }) => times[index] ?? []) as [Array<number>, Array<number>]
    const added = median(through) - median(direct)
    const us = (name: string, ms: number) => figure(name, ms * 1_000, "us")
    return {
      what,
      figures: [
        us("direct", median(direct)),
        us("through edgeProxy", median(through)),
        us("added", added),
        us("added at p99", quantile(through, 0.99) - quantile(direct, 0.99))
      ],
      goal: { text: `< ${GOAL_MS} ms added`, met: added < GOAL_MS }
    }
  })
  return { rows }
})

/** What the proxy adds to latency. */
export const overhead: Measure = {
  name: "overhead",
  how: `one client, one at a time, to an echo in the same process, directly and through edgeProxy in turns: ${ROUNDS} rounds of ${EACH}; medians`,
  run
}
