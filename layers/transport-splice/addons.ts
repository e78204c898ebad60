import { execFileSync } from "node:child_process"
import { copyFileSync, cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from "node:fs"
import { createRequire } from "node:module"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"

/** Puts the native addon of the splice engine beside the program when that is built. */

const koffi = dirname(createRequire(import.meta.url).resolve("koffi"))
const repository = join(import.meta.dirname, "../..")

/** Node's names of processors, by the systems as containers name them. */
const processors: Readonly<Record<string, string>> = { "linux-amd64": "x64", "linux-arm64": "arm64" }

/** The directory of the package with the binaries, glibc and musl, for Linux on this processor. */
const binariesFor = (processor: string): string => `@koromix/koffi-linux-${processor}`

/** Has npm install what it would on another processor, each package checked against package-lock.json; and copies from that. */
const copyForeign = (processor: string, to: string): void => {
  const elsewhere = mkdtempSync(join(tmpdir(), "edgeproxy-addon-"))
  try {
    for (const file of ["package.json", "package-lock.json", ".npmrc"]) {
      copyFileSync(join(repository, file), join(elsewhere, file))
    }
    const options = ["--omit=dev", "--ignore-scripts", "--no-audit", "--no-fund", "--os=linux", `--cpu=${processor}`]
    execFileSync("npm", ["ci", ...options], { cwd: elsewhere, stdio: ["ignore", "ignore", "inherit"] })
    const name = binariesFor(processor)
    cpSync(join(elsewhere, "node_modules", name), join(to, name), { recursive: true })
  } finally {
    rmSync(elsewhere, { recursive: true })
  }
}

const own = (packages: string): ReadonlyArray<string> => {
  const directory = join(packages, "@koromix")
  return existsSync(directory) ? readdirSync(directory).map((name) => `@koromix/${name}`) : []
}

/**
 * Copies the addon into that directory of packages, with the binaries for these systems (`linux-amd64`, `linux-arm64`); for
 * none given, with those for this one, which npm has chosen. Where there are none the program carries bytes with Node's own
 * sockets. Gives the names of the packages.
 */
export const copyAddon = (to: string, systems: ReadonlyArray<string>): ReadonlyArray<string> => {
  // Its script is in the bundle.
  mkdirSync(join(to, "koffi"), { recursive: true })
  copyFileSync(join(koffi, "LICENSE.txt"), join(to, "koffi/LICENSE.txt"))
  const packages = dirname(koffi)
  if (systems.length === 0) {
    for (const name of own(packages)) cpSync(join(packages, name), join(to, name), { recursive: true })
    return own(packages)
  }
  return systems.map((system) => {
    const processor = processors[system]
    if (processor === undefined) throw new Error(`${system}: expected ${Object.keys(processors).join(" or ")}`)
    const name = binariesFor(processor)
    if (existsSync(join(packages, name))) cpSync(join(packages, name), join(to, name), { recursive: true })
    else copyForeign(processor, to)
    return name
  })
}
