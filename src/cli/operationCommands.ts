import * as Effect from "effect/Effect"
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import { CommandError } from "./CommandError.ts"
import { ask, type ConnectionEntry, type RunningEdge } from "./EdgeApi.ts"
import * as flags from "./flags.ts"
import { connectionsText, healthText, readyText, tableText } from "./operationTexts.ts"
import { answer } from "./output.ts"
import { printable } from "./printable.ts"

const PAGE = 1_000

/** `edgeproxy health` (D3), for container health checks and people. */
export const healthCommand = Command.make(
  "health",
  {
    ready: Flag.Boolean("ready").pipe(
      Flag.withDescription("Ask whether it takes clients, rather than whether it lives"),
      Flag.withDefault(false)
    ),
    json: flags.json,
    ...flags.edge
  },
  Effect.fnUntraced(function* ({ json, ready, ...address }) {
    if (!ready) return yield* answer(json, yield* ask(address, (edge) => edge.health), healthText)
    const readiness = yield* ask(address, (edge) => edge.ready)
    yield* answer(json, readiness, readyText)
    if (!readiness.ready) return yield* new CommandError({ message: "not ready" })
  })
).pipe(Command.withDescription("Ask the running process how it is; exit 0 when it is well, else 1"))

const showTable = Command.make("show", { json: flags.json, ...flags.edge }, ({ json, ...address }) =>
  ask(address, (edge) => edge.table).pipe(Effect.flatMap((table) => answer(json, table, tableText)))
).pipe(Command.withDescription("Show the routing table's source, age, and whether an update is held"))

const confirmTable = Command.make(
  "confirm",
  { json: flags.json, ...flags.edge },
  Effect.fnUntraced(function* ({ json, ...address }) {
    const confirmed = yield* ask(address, (edge) => edge.confirmTable)
    yield* answer(json, { confirmed }, () => (confirmed ? "the held update is taken" : "nothing was held"))
  })
).pipe(Command.withDescription("Take an update that was held because it removes many backends at once"))

/** `edgeproxy table ...` (T5). */
export const tableCommand = Command.make("table").pipe(
  Command.withDescription("Look at the routing table of the running process"),
  Command.withSubcommands([showTable, confirmTable])
)

const connectionsOf = Effect.fnUntraced(function* (edge: RunningEdge, limit: number) {
  const connections: Array<ConnectionEntry> = []
  let after: string | undefined
  while (true) {
    const page = yield* edge.connections({ after, limit: Math.min(PAGE, limit - connections.length) })
    connections.push(...page.connections)
    after = page.next
    if (after === undefined || connections.length >= limit) return { connections, total: page.total }
  }
})

const kill = Command.make(
  "kill",
  {
    id: Argument.String("id").pipe(Argument.withDescription("Id of the connection")),
    json: flags.json,
    ...flags.edge
  },
  Effect.fnUntraced(function* ({ id, json, ...address }) {
    yield* ask(address, (edge) => edge.kill(id))
    yield* answer(json, { killed: true, id }, () => `killed ${printable(id)}`)
  })
).pipe(Command.withDescription("End a connection"))

/** `edgeproxy connections [kill ID]` (D5). */
export const connectionsCommand = Command.make(
  "connections",
  { limit: flags.limit("connections", 100), json: flags.json, ...flags.edge },
  ({ json, limit, ...address }) =>
    ask(address, (edge) => connectionsOf(edge, limit)).pipe(
      Effect.flatMap((found) => answer(json, found, connectionsText))
    )
).pipe(
  Command.withDescription("List the connections of the running process, or end one"),
  Command.withSubcommands([kill])
)
