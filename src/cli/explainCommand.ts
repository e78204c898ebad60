import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import { CommandError } from "./CommandError.ts"
import { connectionExplanationText } from "./connectionExplanationText.ts"
import { ask } from "./EdgeApi.ts"
import { explanationText } from "./explanationText.ts"
import * as flags from "./flags.ts"
import { answer } from "./output.ts"

/** The most that one answer has. */
const MAX_EXPLAINED = 100

/** `edgeproxy explain IP`, `edgeproxy explain --conn ID` (D4). */
export const explainCommand = Command.make(
  "explain",
  {
    ip: Argument.String("ip").pipe(Argument.withDescription("Address of a client"), Argument.optional),
    conn: Flag.String("conn").pipe(
      Flag.withMetavar("ID"),
      Flag.withDescription("A connection instead: its id in the access log or in `edgeproxy connections`"),
      Flag.optional
    ),
    app: Flag.String("app").pipe(
      Flag.withDescription("As on a listener of this app; without it, of all apps"),
      Flag.optional
    ),
    sni: Flag.String("sni").pipe(Flag.withDescription("With this TLS server name"), Flag.optional),
    limit: flags.limit("backends of each kind", 20),
    json: flags.json,
    ...flags.edge
  },
  Effect.fnUntraced(function* ({ app, conn, ip, json, limit, sni, ...address }) {
    const shown = Math.min(limit, MAX_EXPLAINED)
    if (Option.isSome(ip) === Option.isSome(conn)) {
      return yield* new CommandError({ message: "explain what? An address, or a connection with --conn ID" })
    }
    if (Option.isSome(conn)) {
      const explanation = yield* ask(address, (edge) => edge.explainConnection(conn.value, shown))
      return yield* answer(json, explanation, connectionExplanationText)
    }
    const client = Option.getOrElse(ip, () => "")
    const explanation = yield* ask(address, (edge) =>
      edge.explain(client, Option.getOrUndefined(app), shown, Option.getOrUndefined(sni))
    )
    yield* answer(json, explanation, explanationText)
  })
).pipe(
  Command.withDescription(
    "Say where a client would go now, or why a connection went where it went; it changes nothing"
  ),
  Command.withExamples([
    { command: "edgeproxy explain 203.0.113.7 --app shop" },
    { command: "edgeproxy explain --conn mwpxjn4w-1" }
  ])
)
