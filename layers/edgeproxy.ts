import { enableCompileCache } from "node:module"

// Compiled code is kept between starts where the system has a place for it; without one nothing is lost but time.
enableCompileCache()

const [command] = process.argv.slice(2)
if (command === undefined || command === "serve") {
  const { serve } = await import("./serve.ts")
  serve()
} else {
  // The command line's parser and texts are loaded only when they are wanted.
  const { runCommand } = await import("./commands.ts")
  runCommand()
}
