import { execFileSync } from "node:child_process"
import { rmSync } from "node:fs"
import { fileURLToPath } from "node:url"

/**
 * Builds the bundle once before any test: the end-to-end tests run the very files that are shipped. In a place of its own, so
 * that a run in one terminal does not take them away from a run in another.
 */
export const setup = (): (() => void) => {
  const directory = fileURLToPath(new URL(`../../dist.test-${process.pid}`, import.meta.url))
  execFileSync(process.execPath, ["build.ts", directory], { stdio: "inherit" })
  // Inherited by the workers.
  process.env["TEST_BUNDLE"] = directory
  return () => rmSync(directory, { recursive: true, force: true })
}
