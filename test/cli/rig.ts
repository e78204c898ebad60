import * as NodeServices from "@effect/platform-node/NodeServices"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import * as Terminal from "effect/Terminal"
import * as Command from "effect/cli/Command"
import * as TestConsole from "effect/testing/TestConsole"
import * as Curve25519 from "../../layers/wireguard/Curve25519.ts"
import * as NodeMeshFiles from "../../layers/wireguard/NodeMeshFiles.ts"
import { BackendStore, type StoreChange, StoreError } from "../../src/backends/BackendStore.ts"
import * as Cli from "../../src/cli/Cli.ts"
import * as ConfiguredStore from "../../src/cli/ConfiguredStore.ts"
import { type EdgeAddress, EdgeApi, EdgeError, type RunningEdge } from "../../src/cli/EdgeApi.ts"
import type { Backend, BackendRow } from "../../src/domain/Backend.ts"
import { BackendSource, SourceError } from "../../src/routing/BackendSource.ts"

export interface Table {
  readonly rows?: ReadonlyArray<BackendRow>
  readonly states?: ReadonlyArray<BackendRow>
  readonly refuses?: (backend: Backend) => string | undefined
  /** It can be read, and takes no change. */
  readonly readonly?: boolean
  /** It can't even be read. */
  readonly lost?: boolean
}

export interface World {
  readonly table?: Table
  /** The running process; without it nothing runs. */
  readonly edge?: Partial<RunningEdge>
  /** Who sits there; without it nobody, and what is written goes to a pipe. */
  readonly terminal?: Terminal.Terminal
}

export interface Outcome {
  readonly out: string
  readonly err: string
  /** What the command failed with; undefined for success. */
  readonly failure: string | undefined
  readonly written: ReadonlyArray<StoreChange>
  /** Where running processes were looked for. */
  readonly asked: ReadonlyArray<EdgeAddress>
}

const nobody = Effect.fail(
  new EdgeError({ reason: "unreachable", where: "127.0.0.1:8081", detail: "connection refused" })
)

const nothingRuns: RunningEdge = {
  backends: () => nobody,
  setDraining: () => nobody,
  explain: () => nobody,
  explainConnection: () => nobody,
  table: nobody,
  confirmTable: nobody,
  connections: () => nobody,
  kill: () => nobody,
  health: nobody,
  ready: nobody
}

const sourceOf = ({ lost = false, rows = [], states }: Table) =>
  BackendSource.of({
    name: "memory",
    shared: false,
    keepsRows: false,
    events: Stream.make(
      lost
        ? {
            _tag: "Lost",
            error: new SourceError({ source: "memory", target: "it", reason: "unreachable", detail: "gone" })
          }
        : { _tag: "Rows", rows, ...(states === undefined ? {} : { states }) }
    )
  })

const readonlyStore = BackendStore.of({
  name: "memory",
  write: () => Effect.fail(new StoreError({ store: "memory", target: "it", reason: "readonly", detail: "a replica" }))
})

/** Runs a command line as the program does, in a world of a test's making. */
export const run = Effect.fnUntraced(function* (
  line: ReadonlyArray<string>,
  { edge = {}, table = {}, terminal }: World = {}
) {
  const written: Array<StoreChange> = []
  const asked: Array<EdgeAddress> = []
  const database = Layer.merge(
    Layer.succeed(BackendSource, sourceOf(table)),
    table.readonly === true ? Layer.succeed(BackendStore, readonlyStore) : BackendStore.layerMemory(written)
  )
  const world = Layer.mergeAll(
    NodeServices.layer,
    terminal === undefined ? Layer.empty : Layer.succeed(Terminal.Terminal, terminal),
    Curve25519.layer,
    NodeMeshFiles.layer,
    // Else the runs of one test would share it.
    Layer.fresh(TestConsole.layer),
    Layer.succeed(ConfiguredStore.ConfiguredStore, {
      routing: Effect.die("not asked"),
      open: () =>
        ConfiguredStore.make({ name: "memory", refuses: table.refuses ?? (() => undefined) }).pipe(
          Effect.provide(database)
        )
    }),
    Layer.succeed(EdgeApi, {
      connect: (address) => {
        asked.push(address)
        return Effect.succeed({ ...nothingRuns, ...edge })
      }
    })
  )
  const unused = Effect.die(new Error("not a command of this test"))
  const cli = Cli.make<Error, never>({ serve: unused, config: unused, check: () => unused, demo: () => unused })
  return yield* Effect.gen(function* () {
    const result = yield* Effect.result(Command.runWith(cli, { version: "1.2.3" })(line))
    const text = (lines: ReadonlyArray<unknown>) => lines.map(String).join("\n")
    return {
      out: text(yield* TestConsole.logLines),
      err: text(yield* TestConsole.errorLines),
      failure: Result.isFailure(result) ? result.failure.message : undefined,
      written,
      asked
    } satisfies Outcome
  }).pipe(Effect.provide(world))
})

/** The first row that a test has. */
export const row = (fields: BackendRow = {}): BackendRow => ({
  id: "n1",
  app: "shop",
  region: "sa",
  country: "BR",
  wg_ip: "10.0.0.1",
  port: 8080,
  healthy: 1,
  weight: 2,
  soft_limit: 10,
  hard_limit: 0,
  deleted: 0,
  ...fields
})
