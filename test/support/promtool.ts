import { execFileSync } from "node:child_process"
import { accessSync, constants } from "node:fs"
import { delimiter, join } from "node:path"

/** Prometheus' own checker, where it is installed. */
export const promtool = (process.env["PATH"] ?? "")
  .split(delimiter)
  .map((directory) => join(directory, "promtool"))
  .find((path) => {
    try {
      accessSync(path, constants.X_OK)
      return true
    } catch {
      return false
    }
  })

/** What `promtool check metrics` has to say of a page: nothing, if all is well. Throws when it can't even read it. */
export const checkMetrics = (program: string, page: string): string =>
  execFileSync(program, ["check", "metrics"], { input: page, encoding: "utf8", stdio: ["pipe", "pipe", "pipe"] })
