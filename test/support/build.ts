import { execFileSync } from "node:child_process"

/** Builds the bundle once before any test: the end-to-end tests run the very files that are shipped. */
export const setup = (): void => {
  execFileSync(process.execPath, ["build.ts"], { stdio: "inherit" })
}
