import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import * as Queue from "effect/Queue"
import * as Terminal from "effect/Terminal"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import { EdgeApi, type RunningEdge } from "./EdgeApi.ts"
import * as flags from "./flags.ts"
import { textTable } from "./textTable.ts"
import { headLines, paint, screenOf, type Size } from "./topScreen.ts"
import { takeSnapshot, type TopSnapshot } from "./topSnapshot.ts"
import { press, start, type TopAction } from "./topState.ts"
import { arrange, backendTable, connectionTable } from "./topTables.ts"

const EVERY_MS = 1_000

/** Of each list, when it is only printed. */
const PRINTED = 20

/** The screen that the terminal had before comes back with the end, and its cursor too. */
const ownScreen = (terminal: Terminal.Terminal) =>
  Effect.acquireRelease(Effect.ignore(terminal.display("\u001b[?1049h\u001b[?25l\u001b[?7l")), () =>
    Effect.ignore(terminal.display("\u001b[?7h\u001b[?25h\u001b[?1049l"))
  )

/** For a pipe: both lists once, with the rates of one second. */
const printOnce = Effect.fnUntraced(function* (edge: RunningEdge) {
  const before = yield* takeSnapshot(edge, undefined)
  yield* Effect.sleep(EVERY_MS)
  const snapshot = yield* takeSnapshot(edge, before)
  const order = { filter: "", sort: 0 }
  const connections = arrange(connectionTable, snapshot.connections, order).slice(0, PRINTED)
  const backends = arrange(backendTable, snapshot.backends, order).slice(0, PRINTED)
  const parts = [
    headLines(snapshot).join("\n"),
    ...(connections.length > 0 ? [textTable(connections, connectionTable.columns)] : []),
    ...(backends.length > 0 ? [textTable(backends, backendTable.columns)] : [])
  ]
  yield* Console.log(parts.join("\n\n"))
})

const carryOut = (edge: RunningEdge, action: TopAction): Effect.Effect<string> => {
  const act =
    action._tag === "Kill"
      ? Effect.as(edge.kill(action.id), `killed ${action.id}`)
      : Effect.as(
          edge.setDraining(action.id, action.draining),
          action.draining ? `${action.id} takes no new clients` : `${action.id} takes clients again`
        )
  return act.pipe(Effect.catch(({ message }) => Effect.succeed(message)))
}

/** Draws, asks and listens until the person at the keys has seen enough. */
const watch = Effect.fnUntraced(function* (edge: RunningEdge, terminal: Terminal.Terminal, first: TopSnapshot) {
  let state = start
  let snapshot = first
  let trouble = ""
  let size: Size = { columns: yield* terminal.columns, rows: yield* terminal.rows }
  const going = yield* Latch.make(true)

  const screen = () => screenOf(state, snapshot, size, trouble)
  const draw = Effect.suspend(() => Effect.orDie(terminal.display(paint(screen(), size))))

  const look = Effect.gen(function* () {
    yield* Effect.sleep(EVERY_MS)
    yield* going.await
    yield* takeSnapshot(edge, snapshot).pipe(
      Effect.match({
        onSuccess: (next) => {
          snapshot = next
          trouble = ""
        },
        onFailure: ({ message }) => {
          trouble = message
        }
      })
    )
    yield* draw
  })

  const follow = Effect.gen(function* () {
    const sizes = yield* terminal.size
    return yield* Effect.forever(
      Effect.flatMap(Queue.take(sizes), (next) => {
        size = next
        return draw
      })
    )
  })

  const listen = Effect.gen(function* () {
    const keys = yield* terminal.readInput
    while (true) {
      const input = yield* Queue.take(keys)
      const columns = state.list === "connections" ? connectionTable.columns : backendTable.columns
      const pressed = press(state, input, screen().rows, columns.length)
      state = pressed.state
      if (pressed.quit === true) return
      if (state.paused) going.closeUnsafe()
      else going.openUnsafe()
      if (pressed.action !== undefined) state = { ...state, message: yield* carryOut(edge, pressed.action) }
      yield* draw
    }
  })

  yield* ownScreen(terminal)
  yield* draw
  // The end of the keys, with Ctrl-C or a closed terminal, is an end like any other.
  yield* Effect.ignore(listen).pipe(Effect.raceFirst(Effect.forever(look)), Effect.raceFirst(Effect.ignore(follow)))
})

/** `edgeproxy top` (X1). */
export const topCommand = Command.make(
  "top",
  {
    once: Flag.Boolean("once").pipe(
      Flag.withDescription("Print both lists and end, as it does where there is no terminal"),
      Flag.withDefault(false)
    ),
    ...flags.edge
  },
  Effect.fnUntraced(function* ({ once, ...address }) {
    const terminal = yield* Terminal.Terminal
    const edge = yield* EdgeApi.use(({ connect }) => connect(address))
    if (once || (yield* terminal.columns) === 0) return yield* printOnce(edge)
    // What can't be asked at all is told on the screen that stays.
    yield* watch(edge, terminal, yield* takeSnapshot(edge, undefined))
  }, Effect.scoped)
).pipe(Command.withDescription("Watch connections and backends of the running process; sort, filter, kill, drain"))
