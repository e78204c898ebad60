import { build, type BuildOptions } from "esbuild"
import { execFileSync } from "node:child_process"
import { createHash } from "node:crypto"
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join, relative, resolve } from "node:path"
import { packedModule, packedPlugin } from "./layers/dashboard/pack.ts"

/**
 * Makes one file of the program, Node and all: `executable.ts dist to [node]`, of what `npm run build` has put into `dist`, with this
 * Node or the one of another system, which `dist` is for then.
 *
 * Node's single executable applications: https://nodejs.org/api/single-executable-applications.html
 */
const [dist = "dist", to = "edgeproxy", node = process.execPath] = process.argv.slice(2)
const layers = join(import.meta.dirname, "layers")
mkdirSync(dirname(resolve(to)), { recursive: true })
const work = mkdtempSync(join(tmpdir(), "edgeproxy-executable-"))

/** What the program looks for in files, wherever it runs. */
const isWanted = (path: string): boolean =>
  path.startsWith("node_modules/") || /^(?:package\.json|geolite2-country\.mmdb|GEOLITE2_.*|.*\.cdx\.json)$/.test(path)

const filesIn = (directory: string): ReadonlyArray<string> =>
  readdirSync(directory, { recursive: true, withFileTypes: true }).flatMap((entry) =>
    entry.isFile() ? [relative(directory, join(entry.parentPath, entry.name))] : []
  )

const common = {
  bundle: true,
  platform: "node",
  external: ["@koromix/*"],
  minifySyntax: true,
  minifyWhitespace: true,
  legalComments: "eof",
  logLevel: "warning"
} satisfies BuildOptions

try {
  await build({
    ...common,
    entryPoints: {
      "data-plane": join(layers, "transport-splice/thread.ts"),
      "node-engine": join(layers, "transport-node/thread.ts")
    },
    format: "esm",
    outdir: join(work, "chunks"),
    banner: {
      js: 'import{createRequire as __createRequire}from"node:module";const require=__createRequire(import.meta.url);'
    }
  })
  const assets = Object.fromEntries([
    ...filesIn(dist).flatMap((path) => (isWanted(path) ? [[path, resolve(dist, path)] as const] : [])),
    ...filesIn(join(work, "chunks")).map((name) => [`chunks/${name}`, join(work, "chunks", name)] as const)
  ])
  const hash = createHash("sha256")
  for (const [path, file] of Object.entries(assets)) hash.update(`${path}\n`).update(readFileSync(file))

  const main = join(work, "edgeproxy.cjs")
  await build({
    ...common,
    entryPoints: [join(layers, "edgeproxy.ts")],
    format: "cjs",
    outfile: main,
    plugins: [packedPlugin((await packedModule()).contents)],
    inject: [join(layers, "executable/importMeta.ts")],
    define: {
      "import.meta.url": "importMetaUrl",
      "import.meta.dirname": "importMetaDirname",
      EDGEPROXY_DIGEST: JSON.stringify(hash.digest("hex").slice(0, 16))
    }
  })
  const config = join(work, "sea.json")
  const output = resolve(to)
  writeFileSync(
    config,
    JSON.stringify({
      main,
      output,
      executable: resolve(node),
      disableExperimentalSEAWarning: true,
      // Compiled code is for the Node that made it.
      useCodeCache: node === process.execPath,
      assets
    })
  )
  execFileSync(process.execPath, ["--build-sea", config], { stdio: ["ignore", "ignore", "inherit"] })
  chmodSync(output, 0o755)
} finally {
  rmSync(work, { recursive: true })
}
