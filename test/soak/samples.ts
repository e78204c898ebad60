import * as Effect from "effect/Effect"
import type { EdgeProcess } from "../support/EdgeProcess.ts"
import { countFds } from "../support/fds.ts"
import { parse } from "../support/exposition.ts"
import type { Point } from "./trend.ts"

/** What is looked at, its unit, and by how much of it a sound process may seem to rise in an hour. */
export interface Series {
  readonly name: string
  readonly unit: string
  readonly limit: number
  readonly points: Array<Point>
}

const MEGABYTE = 1_048_576

interface Look {
  readonly name: string
  readonly unit: string
  readonly limit: number
  readonly read: (value: (name: string) => number, pid: number) => number
}

const looks: ReadonlyArray<Look> = [
  {
    name: "resident memory",
    unit: "MB",
    limit: 20,
    read: (value) => value("process_resident_memory_bytes") / MEGABYTE
  },
  { name: "JavaScript heap", unit: "MB", limit: 10, read: (value) => value("nodejs_heap_used_bytes") / MEGABYTE },
  {
    name: "buffers outside it",
    unit: "MB",
    limit: 5,
    read: (value) => value("nodejs_external_memory_bytes") / MEGABYTE
  },
  { name: "file descriptors", unit: "", limit: 60, read: (_, pid) => countFds(pid) ?? Number.NaN },
  { name: "fibers", unit: "", limit: 30, read: (value) => value("edgeproxy_fibers") },
  { name: "connections", unit: "", limit: 60, read: (value) => value("edgeproxy_connections_active") },
  { name: "pipes", unit: "", limit: 60, read: (value) => value("edgeproxy_transport_pipes") },
  { name: "held bytes", unit: "MB", limit: 1, read: (value) => value("edgeproxy_transport_held_bytes") / MEGABYTE }
]

/** The collection takes tens of milliseconds, and a reading is shared for half a second. */
const SETTLE_MS = 600

/** Has garbage collected and looks at all of it, every few seconds until it is interrupted. */
export const sample = Effect.fnUntraced(function* ({ pid, signal }: EdgeProcess, metrics: string, everyMs: number) {
  const startedAt = performance.now()
  const series = looks.map(({ limit, name, unit }): Series => ({ name, unit, limit, points: [] }))
  const look = Effect.promise(async () => {
    const page = parse(await (await fetch(metrics)).text())
    const ms = performance.now() - startedAt
    for (const [index, { read }] of looks.entries()) {
      series[index]?.points.push({ ms, value: read((name) => page.sum(name), pid) })
    }
  })
  const round = Effect.gen(function* () {
    signal("SIGWINCH")
    yield* Effect.sleep(SETTLE_MS)
    yield* look
    yield* Effect.sleep(everyMs - SETTLE_MS)
  })
  yield* Effect.forkScoped(Effect.forever(round))
  return series
})
