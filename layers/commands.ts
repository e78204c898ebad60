import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeServices from "@effect/platform-node/NodeServices"
import * as Cause from "effect/Cause"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as CliError from "effect/cli/CliError"
import * as Command from "effect/cli/Command"
import manifest from "../package.json" with { type: "json" }
import * as Cli from "../src/cli/Cli.ts"
import { ConfigError } from "../src/config/ConfigError.ts"
import { effectiveLines } from "../src/config/describe.ts"
import { loadEnvironment } from "./config/environment.ts"
import { demo } from "./demo/Demo.ts"
import { EXIT_CONFIG, serve } from "./serve.ts"

const config = Effect.gen(function* () {
  const loaded = yield* Effect.suspend(() => Effect.fromResult(loadEnvironment()))
  for (const warning of loaded.warnings) yield* Console.error(`warning: ${warning}`)
  for (const line of effectiveLines(loaded)) yield* Console.log(line)
})

/** Everything but serving: parses the command line and runs the command. */
export const runCommand = (): void => {
  const cli = Cli.make<Error, never>({
    // Serving owns the process: its signals, its exit.
    serve: Effect.andThen(Effect.sync(serve), Effect.never),
    config,
    demo
  })
  cli.pipe(
    Command.run({ version: manifest.version }),
    // The parser of the command line has told its own errors already.
    Effect.tapError((error) => (CliError.isCliError(error) ? Effect.void : Console.error(error.message))),
    Effect.provide(NodeServices.layer),
    NodeRuntime.runMain({
      disableErrorReporting: true,
      teardown: (exit, onExit) => {
        if (Exit.isSuccess(exit) || Cause.hasInterruptsOnly(exit.cause)) return onExit(0)
        return onExit(Cause.squash(exit.cause) instanceof ConfigError ? EXIT_CONFIG : 1)
      }
    })
  )
}
