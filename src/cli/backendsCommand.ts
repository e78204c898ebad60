import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import { stateNames } from "../api/schemas.ts"
import { type Filter, type Listing, listingText, quarantineHint, storedListing } from "./backendViews.ts"
import { CommandError } from "./CommandError.ts"
import { ConfiguredStore, type OpenStore } from "./ConfiguredStore.ts"
import { ask, type BackendEntry, type EdgeAddress, type EdgeError, type RunningEdge } from "./EdgeApi.ts"
import * as edit from "./editBackends.ts"
import * as flags from "./flags.ts"
import { answer, note } from "./output.ts"
import { printable } from "./printable.ts"

const withStore = <A, E>(use: (store: OpenStore) => Effect.Effect<A, E>) =>
  ConfiguredStore.use(({ open }) => Effect.flatMap(open(), use)).pipe(Effect.scoped)

/** A failure that the store would not have is told with the way there. */
const withEdge = <A>(address: EdgeAddress, use: (edge: RunningEdge) => Effect.Effect<A, EdgeError>) =>
  ask(address, use).pipe(
    Effect.catchTag("EdgeError", ({ message, reason }) => {
      const hint = reason === "unreachable" ? " --store takes the table itself." : ""
      return Effect.fail(new CommandError({ message: message + hint }))
    })
  )

const report = Effect.fnUntraced(function* (json: boolean, id: string, { done, notes }: edit.Edited) {
  yield* answer(json, { id, done, notes }, () => printable(done))
  if (!json) for (const each of notes) yield* note(`note: ${each}`)
})

/** The most that one page of the API has. */
const PAGE = 1_000

const pagesOf = Effect.fnUntraced(function* (
  edge: RunningEdge,
  filter: {
    readonly app: string | undefined
    readonly state: BackendEntry["state"] | undefined
    readonly limit: number
  }
) {
  const backends: Array<Listing["backends"][number]> = []
  let after: string | undefined
  while (true) {
    const page = yield* edge.backends({ ...filter, after, limit: Math.min(PAGE, filter.limit - backends.length) })
    backends.push(...page.backends)
    after = page.next
    if (after === undefined || backends.length >= filter.limit) {
      return { backends, total: page.total } satisfies Listing
    }
  }
})

/** Rows that a running process does not use; a word beside the list, which does without it. */
const unusedOf = ({ table }: RunningEdge) =>
  table.pipe(
    Effect.map(({ quarantined }) => quarantined),
    Effect.catch(() => Effect.succeed(0))
  )

const hint = (filter: Pick<Filter, "state">, unused: number, where: string): Effect.Effect<void> =>
  unused > 0 && filter.state === undefined ? note(quarantineHint(unused, where)) : Effect.void

const list = Command.make(
  "list",
  {
    app: Flag.String("app").pipe(Flag.withDescription("Only those of this app"), Flag.optional),
    state: Flag.Literals("state", [...stateNames, "quarantined"]).pipe(
      Flag.withDescription("Only those in this state; quarantined: the rows that are not used, and why"),
      Flag.optional
    ),
    limit: flags.limit("backends", PAGE),
    json: flags.json,
    store: flags.store,
    ...flags.edge
  },
  Effect.fnUntraced(function* ({ app, json, limit, state, store, ...address }) {
    const filter = { app: Option.getOrUndefined(app), state: Option.getOrUndefined(state), limit }
    if (!store) {
      const { listing, unused } = yield* withEdge(address, (edge) =>
        Effect.all({ listing: pagesOf(edge, filter), unused: unusedOf(edge) })
      )
      yield* answer(json, listing, listingText)
      return yield* hint(filter, unused, "the table")
    }
    const now = yield* Clock.currentTimeMillis
    const { listing, quarantined, where } = yield* withStore((store) =>
      Effect.map(store.read, (table) => ({
        listing: storedListing(table, filter, now),
        quarantined: table.quarantined.size,
        where: store.name
      }))
    )
    yield* answer(json, listing, listingText)
    yield* hint(filter, quarantined, where)
  })
).pipe(Command.withDescription("List the backends of the running process, or of the table with --store"))

const add = Command.make(
  "add",
  { id: flags.id, ...flags.required, ...flags.optional, json: flags.json },
  Effect.fnUntraced(function* ({ id, ip, json, port, region, ...others }) {
    const fields = { ...flags.fieldsOf(others), region, address: ip, port }
    const edited = yield* withStore((store) => edit.add(store, id, fields))
    yield* report(json, id, edited)
  })
).pipe(
  Command.withDescription("Add a backend to the configured table, as if its row were written by hand"),
  Command.withExamples([
    { command: "edgeproxy backends add sa-node-1 --region sa --country BR --ip 10.50.1.1 --port 8080 --app shop" }
  ])
)

const set = Command.make(
  "set",
  { id: flags.id, ...flags.settable, json: flags.json },
  Effect.fnUntraced(function* ({ id, json, ...given }) {
    const edited = yield* withStore((store) => edit.set(store, id, flags.fieldsOf(given)))
    yield* report(json, id, edited)
  })
).pipe(
  Command.withDescription("Set fields of a backend in the configured table; the others stay as they are"),
  Command.withExamples([
    { command: "edgeproxy backends set sa-node-1 --weight 3" },
    { command: "edgeproxy backends set sa-node-1 --no-healthy" }
  ])
)

const remove = Command.make(
  "remove",
  { id: flags.id, json: flags.json },
  Effect.fnUntraced(function* ({ id, json }) {
    const edited = yield* withStore((store) => edit.remove(store, id))
    yield* report(json, id, edited)
  })
).pipe(Command.withDescription("Remove a backend from the configured table; its open connections run on"))

const drainCommand = (draining: boolean, description: string) =>
  Command.make(
    draining ? "drain" : "undrain",
    { id: flags.id, json: flags.json, store: flags.store, ...flags.edge },
    Effect.fnUntraced(function* ({ id, json, store, ...address }) {
      const edited = store
        ? yield* withStore((store) => edit.setDraining(store, id, draining))
        : yield* withEdge(address, (edge) => edge.setDraining(id, draining)).pipe(
            Effect.as({ done: `${id} is ${draining ? "draining" : "undrained"}`, notes: [] })
          )
      yield* report(json, id, edited)
    })
  ).pipe(Command.withDescription(description))

/** `edgeproxy backends ...` (X1). */
export const backendsCommand = Command.make("backends").pipe(
  Command.withDescription("Look at backends and change them"),
  Command.withSubcommands([
    list,
    add,
    set,
    drainCommand(true, "No new connection for a backend; its clients are sent elsewhere, open connections run on"),
    drainCommand(false, "End a drain: the backend is what it was before"),
    remove
  ])
)
