import { spawnSync } from "node:child_process"
import { relative } from "node:path"

/**
 * Runs Effect's own diagnostics (floating effects, missing `yield*`, errors lost in catch) over the project and fails on
 * any error or warning. The tool is fetched on its own because its packages can't be put into a lock file; its exit code
 * tells of errors only, so its output counts.
 */
interface Diagnostic {
  readonly file: string
  readonly line: number
  readonly severity: "error" | "warning" | "message" | "suggestion"
  readonly name: string
  readonly message: string
}

const { stdout: output } = spawnSync(
  "npm",
  ["exec", "--yes", "--package=@effect/tsgo@0.45.0", "--"].concat([
    "effect-tsgo",
    "diagnostics",
    "--project",
    "tsconfig.json",
    "--format",
    "json"
  ]),
  { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"], maxBuffer: 1 << 26 }
)
const { diagnostics } = JSON.parse(output) as { readonly diagnostics: ReadonlyArray<Diagnostic> }
// A test may fail with a plain Error: nobody has to tell it from others.
const isTestsOwn = ({ file, name }: Diagnostic): boolean =>
  relative(process.cwd(), file).startsWith("test/") && name === "globalErrorInEffectFailure"

const serious = diagnostics.filter(
  (each) => (each.severity === "error" || each.severity === "warning") && !isTestsOwn(each)
)
for (const { file, line, message, name, severity } of serious) {
  process.stdout.write(`${severity} ${relative(process.cwd(), file)}:${line} ${name}: ${message}\n`)
}
process.stdout.write(`effect diagnostics: ${serious.length} found\n`)
process.exitCode = serious.length > 0 ? 1 : 0
