import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { forEachSliced } from "../actor/Sliced.ts"
import { Supervisor } from "../actor/Supervisor.ts"
import type { Backend } from "../domain/Backend.ts"
import { Bindings, type BindingsOptions } from "../routing/Bindings.ts"
import { Circuits } from "../routing/Circuits.ts"
import { type Route, Router, type RouterOptions } from "../routing/Router.ts"
import { Upstreams, type UpstreamsOptions } from "../routing/Upstreams.ts"
import * as EndQueue from "./EndQueue.ts"
import type { RecordedLog } from "./RecordedLog.ts"
import type { ReplayReport } from "./ReplayReport.ts"
import * as Sums from "./Sums.ts"
import * as VirtualClock from "./VirtualClock.ts"

/** How the POP that is played chooses. */
export interface ReplayOptions {
  readonly router: RouterOptions
  readonly upstreams: UpstreamsOptions
  readonly bindings: BindingsOptions
}

/**
 * Sends the recorded connections through a table: each begins and ends when it did, and the router that chooses is the one
 * that serves. All backends are up, every dial succeeds, and nobody is at the POP but those of the log.
 */
export const replay = Effect.fnUntraced(function* (
  log: RecordedLog,
  backends: ReadonlyMap<string, Backend>,
  { bindings, router, upstreams }: ReplayOptions
) {
  const clock = VirtualClock.make()
  const order = log.order()
  const first = order[0]
  if (first !== undefined) clock.moveTo(log.at(first).startMs)

  const routing = Router.layer(router).pipe(
    Layer.provideMerge(Circuits.layer(undefined)),
    Layer.provideMerge(Layer.mergeAll(Upstreams.layer(upstreams), Bindings.layer(bindings))),
    Layer.provide(Supervisor.layer)
  )

  const run = Effect.gen(function* () {
    const { commit, end, route } = yield* Router
    const { put } = yield* Upstreams
    const sums = Sums.make()
    const open = EndQueue.make<Route>()
    let live = 0

    const endUntil = (ms: number): void => {
      for (let next = open.next(ms); next !== undefined; next = open.next(ms)) {
        clock.moveTo(next.atMs)
        end(next.item)
        live--
      }
    }

    yield* forEachSliced(backends.values(), put)
    yield* forEachSliced(order, (index) => {
      const recorded = log.at(index)
      endUntil(recorded.startMs)
      clock.moveTo(recorded.startMs)
      const request = { client: recorded.client, geo: recorded.geo, app: recorded.app, tried: [] }
      const found = route(request)
      if (typeof found !== "string") {
        commit(request, found)
        open.add(recorded.endMs, found)
        live++
      }
      sums.add(recorded, found, live)
    })
    return sums.report(log, backends)
  })
  const report: ReplayReport = yield* run.pipe(Effect.provide(routing), Effect.provideService(Clock.Clock, clock))
  return report
})
