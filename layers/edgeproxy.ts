#!/usr/bin/env node
import { keepCompiledCode } from "./compileCache.ts"
import type { ListeningSocket } from "./handover/ListeningSockets.ts"

const MINIMUM_NODE = 24

const leave = (): never => process.exit(0)

const ignore = (): void => undefined

/** Where the engine of the C library can't be loaded, the listeners are opened with the rest. */
const listenFirst = async (): Promise<ReadonlyArray<ListeningSocket>> => {
  if (process.platform !== "linux") return []
  try {
    return (await import("./listenFirst.ts")).listenFirst(process.env)
  } catch {
    return []
  }
}

const run = async (): Promise<void> => {
  if (Number.parseInt(process.versions.node, 10) < MINIMUM_NODE) {
    process.stderr.write(`edgeproxy needs Node ${MINIMUM_NODE} or newer; this is ${process.versions.node}\n`)
    process.exitCode = 1
    return
  }
  keepCompiledCode(process.env)

  const [command] = process.argv.slice(2)
  if (command === undefined || command === "serve") {
    // Whoever ends it now need not wait; and to the first process of a container nothing happens by itself.
    process.on("SIGTERM", leave).on("SIGINT", leave)
    // These mean nothing yet, and would end it.
    process.on("SIGHUP", ignore).on("SIGUSR2", ignore)
    const opened = await listenFirst()
    const { serve } = await import("./serve.ts")
    serve(opened)
    process.off("SIGTERM", leave).off("SIGINT", leave)
  } else {
    // The command line's parser and texts are loaded only when they are wanted.
    const { runCommand } = await import("./commands.ts")
    runCommand()
  }
}

void run()
