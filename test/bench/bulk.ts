import * as Effect from "effect/Effect"
import { EDGE } from "./edgeKinds.ts"
import { iperf, iperfServers } from "./iperf.ts"
import { type BenchOptions, type Findings, type Measure, skipped } from "./Measure.ts"
import { HAPROXY } from "./otherKinds.ts"
import { compare, processorPer, type Workload } from "./relay.ts"
import { isRoot } from "./users.ts"

interface Work {
  readonly direction: "down" | "up"
  readonly streams: number
  /** In a quick run, and in the picture. */
  readonly first?: boolean
}

const works: ReadonlyArray<Work> = [
  { direction: "down", streams: 1, first: true },
  { direction: "up", streams: 1 },
  { direction: "down", streams: 8 },
  { direction: "up", streams: 8 },
  { direction: "down", streams: 64, first: true }
]

const SECONDS = 1
const GIGABYTE = 1e9
const GOAL = 0.65
const RATE_GOAL = 1.3
const ORDINARY_USER = "nobody"

const carrying = ({ direction, first = false, streams }: Work): Workload => {
  const what = `${streams} stream${streams === 1 ? "" : "s"} ${direction}`
  const panel = first ? what : undefined
  return {
    what,
    through: (port) => iperf(port, { direction, streams, seconds: SECONDS }),
    readings: [
      ...processorPer({
        name: "a GB",
        unit: "s",
        size: GIGABYTE,
        goal: GOAL,
        panel: panel && `Processor time per GB, ${panel}`
      }),
      {
        name: "rate",
        unit: "MB/s",
        better: "higher",
        of: ({ ms, pieces }) => pieces / 1e3 / ms,
        goal: RATE_GOAL,
        panel: panel && `Throughput, ${panel}`
      }
    ]
  }
}

const stage = (list: ReadonlyArray<Work>) =>
  Effect.fnUntraced(function* (proxies: number, { quick }: BenchOptions) {
    return {
      targets: yield* iperfServers(proxies),
      warmUps: (["down", "up"] as const).map(
        (direction) => (port: number) => iperf(port, { direction, streams: 2, seconds: SECONDS })
      ),
      workloads: list.filter(({ first = false }) => first || !quick).map(carrying),
      rounds: quick ? 2 : 5
    }
  })

/** What a byte costs the proxy. */
export const bulk: Measure = {
  name: "bulk",
  how: "iperf3 through the proxy; down is from the backend to the client",
  run: compare(["iperf3"], stage(works))
}

const pipesOnly = compare(
  ["iperf3"],
  stage(works.filter(({ first = false }) => first).map(({ direction, streams }) => ({ direction, streams })))
)

const whyNot = ({ quick, user }: BenchOptions): string | undefined => {
  if (quick) return "not part of a quick run"
  if (user !== undefined) return `all proxies are run by ${user}`
  return isRoot() ? undefined : "only root can run programs as another"
}

/** The same for an ordinary user, to whom the kernel gives less room in pipes. */
export const bulkUser: Measure = {
  name: "bulk-user",
  how: `bulk with all proxies run by ${ORDINARY_USER}, to whom the kernel gives less room in pipes`,
  run: (options) => {
    const reason = whyNot(options)
    if (reason !== undefined) return Effect.succeed({ rows: [skipped("all", reason)] } satisfies Findings)
    // The others have no pipes.
    const proxies = options.proxies.length > 0 ? options.proxies : [EDGE, HAPROXY]
    return pipesOnly({ ...options, proxies, user: ORDINARY_USER })
  }
}
