import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"
import * as Stdio from "effect/Stdio"
import * as Stream from "effect/Stream"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import { regions } from "../domain/Region.ts"
import * as lines from "../replay/lines.ts"
import * as RecordedLog from "../replay/RecordedLog.ts"
import { replay } from "../replay/replay.ts"
import { CommandError } from "./CommandError.ts"
import { ConfiguredStore } from "./ConfiguredStore.ts"
import * as flags from "./flags.ts"
import { answer } from "./output.ts"
import { printable } from "./printable.ts"
import { replayText } from "./replayText.ts"

/** Standard input, as programs name it. */
const STDIN = "-"

const CHUNK_BYTES = 262_144

/** Reads a log piece by piece; what of it is kept is far less than its text. */
const readLog = Effect.fnUntraced(function* (path: string) {
  const bytes =
    path === STDIN
      ? (yield* Stdio.Stdio).stdin
      : (yield* FileSystem.FileSystem).stream(path, { chunkSize: CHUNK_BYTES })
  const log = RecordedLog.make()
  const splitter = lines.makeSplitter()
  yield* bytes.pipe(
    Stream.decodeText,
    Stream.runForEach((text) => Effect.sync(() => splitter.push(text).forEach(log.add))),
    Effect.mapError(({ message }) => new CommandError({ message: `${printable(path)} can't be read: ${message}` }))
  )
  splitter.end().forEach(log.add)
  return { log, overlong: splitter.overlong() }
})

/** `edgeproxy replay`: recorded clients through another table, or without a part of it (X1). */
export const replayCommand = Command.make(
  "replay",
  {
    log: Flag.String("log").pipe(
      Flag.withMetavar("PATH"),
      Flag.withDescription("Access log, JSON lines; - is standard input"),
      Flag.withDefault(STDIN)
    ),
    table: Flag.String("table").pipe(
      Flag.withMetavar("PATH"),
      Flag.withDescription("SQLite table to replay to; without it, the configured one"),
      Flag.optional
    ),
    region: Flag.Literals("region", regions).pipe(
      Flag.withDescription("Region of the POP that is played; without it, EDGEPROXY_REGION"),
      Flag.optional
    ),
    withoutPops: Flag.Literals("without-pop", regions).pipe(
      Flag.withDescription("As if the POP of this region were gone, and the backends beside it; may be repeated"),
      Flag.between(0, regions.length)
    ),
    withoutBackends: Flag.String("without-backend").pipe(
      Flag.withMetavar("ID"),
      Flag.withDescription("As if this backend were gone; may be repeated"),
      Flag.between(0, Infinity)
    ),
    limit: flags.limit("rows of each list", 20),
    json: flags.json
  },
  Effect.fnUntraced(function* ({ json, limit, log: path, region, table, withoutBackends, withoutPops }) {
    const { open, routing } = yield* ConfiguredStore
    const { name, read } = yield* open(Option.getOrUndefined(table))
    const stored = yield* read
    const unknown = withoutBackends.filter((id) => !stored.backends.has(id))
    if (unknown.length > 0) {
      return yield* new CommandError({ message: `${name} has no backend ${unknown.map(printable).join(", ")}` })
    }
    const left = new Map(
      Array.from(stored.backends).filter(
        ([id, backend]) => !withoutBackends.includes(id) && !withoutPops.some((gone) => gone === backend.region)
      )
    )
    const { log, overlong } = yield* readLog(path)
    const options = yield* routing
    const popRegion = Option.getOrElse(region, () => options.router.region)
    const report = yield* replay(log, left, { ...options, router: { ...options.router, region: popRegion } })
    const played = {
      table: name,
      pop_region: popRegion,
      without: { pops: withoutPops, backends: withoutBackends }
    }
    const told = { ...played, ...report, log: { ...report.log, bad: report.log.bad + overlong } }
    yield* answer(json, told, (value) => replayText(value, limit))
  }, Effect.scoped)
).pipe(
  Command.withDescription(
    "Send the clients of an access log through another table, and show where they would go; nothing is asked or changed"
  ),
  Command.withExamples([
    { command: "edgeproxy replay --log access.jsonl --table next.db" },
    { command: "edgeproxy replay --log access.jsonl --without-pop sa --without-backend us-node-1" }
  ])
)
