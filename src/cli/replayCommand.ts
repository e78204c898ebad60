import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"
import type { PlatformError } from "effect/PlatformError"
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

/** First bytes of what logs are packed with. */
const packers: ReadonlyArray<readonly [name: string, magic: ReadonlyArray<number>]> = [
  ["gzip", [0x1f, 0x8b]],
  ["zstd", [0x28, 0xb5, 0x2f, 0xfd]],
  ["xz", [0xfd, 0x37, 0x7a, 0x58, 0x5a]],
  ["bzip2", [0x42, 0x5a, 0x68]]
]

const packerOf = (start: Uint8Array): string | undefined =>
  packers.find(([, magic]) => magic.every((byte, at) => start[at] === byte))?.[0]

const whyOf = ({ message, reason }: PlatformError): string => {
  if (reason._tag === "NotFound") return "no such file"
  if (reason._tag === "PermissionDenied") return "permission denied"
  return reason._tag === "BadResource" ? "not a file" : message
}

/** Reads a log piece by piece; what of it is kept is far less than its text. */
const readLog = Effect.fnUntraced(function* (path: string) {
  const bytes =
    path === STDIN
      ? (yield* Stdio.Stdio).stdin
      : (yield* FileSystem.FileSystem).stream(path, { chunkSize: CHUNK_BYTES })
  const name = path === STDIN ? "standard input" : printable(path)
  const log = RecordedLog.make()
  const splitter = lines.makeSplitter()
  let isFirst = true
  /** Packed bytes would be so many bad lines. */
  const refusePacked = Effect.fnUntraced(function* (chunk: Uint8Array) {
    const packer = isFirst ? packerOf(chunk) : undefined
    isFirst = false
    if (packer === undefined) return
    return yield* new CommandError({
      message: `${name} is compressed (${packer}): unpack it and pipe it in, without --log`
    })
  })
  yield* bytes.pipe(
    Stream.mapError((error) => new CommandError({ message: `${name} can't be read: ${whyOf(error)}` })),
    Stream.tap(refusePacked),
    Stream.decodeText,
    Stream.runForEach((text) => Effect.sync(() => splitter.push(text).forEach(log.add)))
  )
  splitter.end().forEach(log.add)
  const overlong = splitter.overlong()
  const { bad, refused, taken } = log.counts
  if (taken + refused === 0 && bad + overlong > 0) {
    return yield* new CommandError({ message: `none of the ${bad + overlong} lines of ${name} is of an access log` })
  }
  return { log, overlong }
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
