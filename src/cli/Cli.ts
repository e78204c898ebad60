import type * as Effect from "effect/Effect"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import { backendsCommand } from "./backendsCommand.ts"
import * as flags from "./flags.ts"
import { explainCommand } from "./explainCommand.ts"
import { replayCommand } from "./replayCommand.ts"
import { connectionsCommand, healthCommand, tableCommand } from "./operationCommands.ts"
import { wireguardCommand } from "./wireguardCommand.ts"
import { topCommand } from "./topCommand.ts"

/** What the commands do that are not questions to a running process or to the store; supplied by who knows the technologies. */
export interface Handlers<E, R> {
  readonly serve: Effect.Effect<void, E, R>
  readonly config: Effect.Effect<void, E, R>
  readonly check: (options: { readonly json: boolean }) => Effect.Effect<void, E, R>
  readonly demo: (options: { readonly once: boolean }) => Effect.Effect<void, E, R>
}

/** The command line (X1): texts, arguments, help. */
export const make = <E, R>(handlers: Handlers<E, R>) =>
  Command.make("edgeproxy", {}, () => handlers.serve).pipe(
    Command.withDescription(
      "Geo-aware TCP load balancer. Without a command it serves; settings come from EDGEPROXY_* variables."
    ),
    Command.withSubcommands([
      Command.make("serve", {}, () => handlers.serve).pipe(
        Command.withDescription("Run the proxy until a signal ends it")
      ),
      Command.make("check", { json: flags.json }, handlers.check).pipe(
        Command.withDescription(
          "Check settings, table, geo database and files without serving; exit 64 if one is wrong"
        )
      ),
      Command.make("config", {}, () => handlers.config).pipe(
        Command.withDescription(
          "Print the settings in force, where each comes from, secrets masked; exit 64 if one is wrong"
        )
      ),
      healthCommand,
      backendsCommand,
      tableCommand,
      explainCommand,
      connectionsCommand,
      topCommand,
      replayCommand,
      wireguardCommand,
      Command.make(
        "demo",
        {
          once: Flag.Boolean("once").pipe(Flag.withDescription("End after the sample clients"), Flag.withDefault(false))
        },
        handlers.demo
      ).pipe(Command.withDescription("Run 3 POPs and 9 mock backends on loopback and show where sample clients go"))
    ])
  )
