import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { spawn } from "node:child_process"
import { fileURLToPath } from "node:url"
import type { Command } from "./Command.ts"
import type { Listed } from "./FakeAgent.ts"

const node = fileURLToPath(new URL("../../../node_modules/.bin/node", import.meta.url))
const program = fileURLToPath(new URL("./agent.ts", import.meta.url))

/** An agent in a process of its own. */
export interface AgentProcess {
  readonly url: string
  readonly actorId: string
  readonly control: (command: Command) => Effect.Effect<void>
  readonly subscriptions: Effect.Effect<ReadonlyArray<Listed>>
  /** SIGTERM shuts it down in order, SIGKILL is a crash; done when it is gone. */
  readonly kill: (signal: "SIGTERM" | "SIGKILL") => Effect.Effect<void>
}

interface Hello {
  readonly url: string
  readonly control: string
  readonly actor_id: string
}

/** Starts the program with these arguments (`--schema FILE`, ...); it is killed with the scope. */
export const start = (args: ReadonlyArray<string>): Effect.Effect<AgentProcess, never, Scope.Scope> =>
  Effect.gen(function* () {
    const child = yield* Effect.acquireRelease(
      Effect.sync(() => spawn(node, [program, ...args], { stdio: ["ignore", "pipe", "inherit"] })),
      (child) => Effect.sync(() => child.kill("SIGKILL"))
    )
    const exited = new Promise<void>((resolve) => child.once("close", () => resolve()))
    const hello = yield* Effect.callback<Hello>((resume) => {
      let line = ""
      child.stdout.on("data", (chunk: Buffer) => {
        line += chunk.toString("utf8")
        if (line.endsWith("\n")) resume(Effect.sync(() => JSON.parse(line) as Hello))
      })
      child.once("close", (code) => resume(Effect.die(new Error(`the agent has exited with ${code}: ${line}`))))
    })
    const ask = (path: string, body?: string): Promise<Response> =>
      fetch(hello.control + path, body === undefined ? {} : { method: "POST", body })
    return {
      url: hello.url,
      actorId: hello.actor_id,
      control: (command) =>
        Effect.promise(async () => {
          const response = await ask("/control", JSON.stringify(command))
          if (!response.ok) throw new Error(await response.text())
        }),
      subscriptions: Effect.promise(async () => {
        const state = (await (await ask("/state")).json()) as { readonly subscriptions: ReadonlyArray<Listed> }
        return state.subscriptions
      }),
      kill: (signal) =>
        Effect.promise(() => {
          child.kill(signal)
          return exited
        })
    }
  })
