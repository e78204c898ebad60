import * as Effect from "effect/Effect"
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { pathToFileURL } from "node:url"
import { bundle, scratch } from "./EdgeProcess.ts"

/** A program that starts the bundle once it has run this module's code: what it listens to does not touch the bundle. */
export const wrapped = (code: string) =>
  Effect.map(scratch, (directory) => {
    const path = join(directory, "edgeproxy.mjs")
    writeFileSync(path, `${code}\nawait import(${JSON.stringify(pathToFileURL(bundle).href)})\n`)
    return path
  })
