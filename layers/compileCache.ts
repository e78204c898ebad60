import * as nodeModule from "node:module"
import { isOwn } from "./executable/isOwn.ts"

/**
 * Where compiled code is kept between starts: a directory of this user's alone, since Node runs what it finds there. (Its own
 * default is a name in the directory for temporary files, which anybody can be the first to make.) Undefined: there is none.
 */
export const codeDirectory = (env: NodeJS.ProcessEnv, uid: number): string | undefined => {
  // Here and not above: a Node that is too old, which is yet to be told so, has none.
  const { lstatSync, mkdirSync } = process.getBuiltinModule("node:fs")
  const place = env["CACHE_DIRECTORY"] || process.getBuiltinModule("node:os").tmpdir()
  const directory = `${place}/edgeproxy-${uid}-code`
  try {
    if (lstatSync(directory, { throwIfNoEntry: false }) === undefined) {
      mkdirSync(directory, { recursive: true, mode: 0o700 })
    }
    return isOwn(lstatSync(directory), uid) ? directory : undefined
  } catch {
    // Nothing can be written there.
    return undefined
  }
}

/** Without a place for it nothing is lost but time. Whoever has named one to Node knows whose it is. */
export const keepCompiledCode = (env: NodeJS.ProcessEnv): void => {
  if (env["NODE_COMPILE_CACHE"]) return void nodeModule.enableCompileCache()
  const directory = codeDirectory(env, process.getuid?.() ?? 0)
  if (directory !== undefined) nodeModule.enableCompileCache(directory)
}
