import { execFileSync } from "node:child_process"
import { pathOf } from "./tools.ts"

/** Prometheus' own checker, where it is installed. */
export const promtool = pathOf("promtool")

/** What `promtool check metrics` has to say of a page: nothing, if all is well. Throws when it can't even read it. */
export const checkMetrics = (program: string, page: string): string =>
  execFileSync(program, ["check", "metrics"], { input: page, encoding: "utf8", stdio: ["pipe", "pipe", "pipe"] })
