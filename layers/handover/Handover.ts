import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import * as Shutdown from "../../src/traffic/Shutdown.ts"
import { formatEndpoint } from "../../src/traffic/Transport.ts"
import { endsContainer } from "./container.ts"
import { listeningSockets } from "./ListeningSockets.ts"

/** While this program's own file is sure to be there: by the time it is wanted, the next version's may lie in its place. */
const loadSuccessor = Effect.promise(() => import("./Successor.ts"))

const handOver = Effect.fnUntraced(function* (
  shutdown: Shutdown.Shutdown["Service"],
  load: typeof loadSuccessor,
  bound: boolean
) {
  // One that ends anyway needs no successor, and one that has a successor no other.
  if (Deferred.isDoneUnsafe(shutdown.requested)) return
  const { HandoverError, startSuccessor } = yield* load
  if (bound) {
    return yield* new HandoverError({ detail: "this process's container ends with it, and a successor in it too" })
  }
  const sockets = listeningSockets()
  if (sockets.length === 0)
    return yield* new HandoverError({ detail: "this system does not tell which sockets listen" })
  yield* Effect.logInfo("handing over", { sockets: sockets.map(({ address }) => formatEndpoint(address)) })
  const ending = Effect.andThen(
    Deferred.await(shutdown.requested),
    Effect.fail(new HandoverError({ detail: "this process was asked to end meanwhile" }))
  )
  const pid = yield* Effect.raceFirst(startSuccessor(sockets), ending)
  yield* Effect.logInfo("handed over", { pid })
  Shutdown.handOver(shutdown)
})

/**
 * On SIGUSR2 (nginx's) the program is started anew, from its file and with the environment of this process, and takes over
 * the listening sockets: they are never closed, so that nobody is refused, and who waits in them is served by one of the
 * two. When the successor serves, this process drains and ends. When it does not, this process goes on as if nothing had
 * been.
 */
export const handOverOnSignal = Effect.fnUntraced(
  function* (shutdown: Shutdown.Shutdown["Service"]) {
    // One that comes while another is under way is the same wish.
    const asked = yield* Queue.sliding<void>(1)
    const onSignal = (): void => void Queue.offerUnsafe(asked, undefined)
    yield* Effect.acquireRelease(
      Effect.sync(() => void process.on("SIGUSR2", onSignal)),
      () => Effect.sync(() => void process.off("SIGUSR2", onSignal))
    )
    // Now, and not when it is asked for: the child of one that has ended goes to the first process, and is not awaited there.
    const bound = endsContainer()
    const load = yield* Effect.cached(loadSuccessor)
    yield* Effect.forkScoped(Effect.ignoreCause(load))
    yield* Queue.take(asked).pipe(
      Effect.andThen(handOver(shutdown, load, bound)),
      Effect.catch(({ message }) => Effect.logError("no handover; this process goes on", message)),
      Effect.catchDefect((defect) => Effect.logError("no handover; this process goes on", defect)),
      Effect.forever,
      Effect.forkScoped
    )
  },
  Effect.annotateLogs({ service: "handover" })
)
