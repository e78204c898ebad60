import { build } from "esbuild"
import { existsSync } from "node:fs"
import { chmod, copyFile, mkdir, readFile, rename, rm, writeFile } from "node:fs/promises"
import { createRequire } from "node:module"
import { dirname, join } from "node:path"
import { dataPackages, packedModule, packedPlugin } from "./layers/dashboard/pack.ts"
import { copyAddon } from "./layers/transport-splice/addons.ts"
import { sbom } from "./sbom.ts"

/**
 * Bundles the program into `dist`, or the directory it is given: one start file, the code it loads, the dashboard in it, the
 * mock backend as a program of its own, and beside them the embedded GeoIP database with its licence, the addon of the splice
 * engine, for this system or those named after the directory, and a list of all packages in it. Nothing else is needed at run
 * time.
 */
const [place = "dist", ...systems] = process.argv.slice(2)
const out = `${place}.${process.pid}`
await mkdir(out)

const dashboard = await packedModule()

const BUILTIN_IMPORTS = /\bimport ?(?:([\w$]+),?)?(?:\*as ([\w$]+)|\{([^}]+)\})? ?from"(node:(?!module")[\w/]+)";/g

/**
 * With Node's own modules taken as CommonJS has them. An `import` of one makes an ES module of it first, which reads each of its
 * properties: that of `node:http` loads the whole of `fetch`, an eighth of the time from start to listening.
 */
const withPlainBuiltins = (code: string): string =>
  code.replaceAll(BUILTIN_IMPORTS, (_, whole?: string, namespace?: string, names?: string, id?: string) =>
    [whole, namespace, names && `{${names.replaceAll(" as ", ":")}}`]
      .flatMap((target) => (target ? [`const ${target}=process.getBuiltinModule("${id}");`] : []))
      .join("")
  )

const { metafile } = await build({
  entryPoints: {
    edgeproxy: "layers/edgeproxy.ts",
    "mock-backend": "layers/demo/mock-backend.ts",
    // Beside the chunks, one of which starts it.
    "chunks/data-plane": "layers/transport-splice/thread.ts",
    "chunks/node-engine": "layers/transport-node/thread.ts"
  },
  plugins: [packedPlugin(dashboard.contents)],
  // Native addons: copied as they are.
  external: ["@koromix/*"],
  outdir: out,
  metafile: true,
  bundle: true,
  splitting: true,
  chunkNames: "chunks/[name]-[hash]",
  platform: "node",
  format: "esm",
  target: "node24",
  minifySyntax: true,
  minifyWhitespace: true,
  legalComments: "linked",
  // CommonJS dependencies (maxmind) ask for `require`, which an ES module does not have.
  banner: {
    js: 'import{createRequire as __createRequire}from"node:module";const require=__createRequire(import.meta.url);'
  },
  logLevel: "warning"
})
for (const file of Object.keys(metafile.outputs).filter((name) => name.endsWith(".js")))
  await writeFile(file, withPlainBuiltins(await readFile(file, "utf8")))
await chmod(join(out, "edgeproxy.js"), 0o755)
// Wherever the directory is put, its files are ES modules.
await writeFile(join(out, "package.json"), `{ "type": "module" }\n`)

const require = createRequire(import.meta.url)

const addons = copyAddon(join(out, "node_modules"), systems)

const geolite = dirname(require.resolve("@ip-location-db/geolite2-country-mmdb/package.json"))
for (const file of ["geolite2-country.mmdb", "GEOLITE2_LICENSE", "GEOLITE2_EULA"]) {
  await copyFile(join(geolite, file), join(out, file))
}

// Named so that scanners of images find it.
await writeFile(
  join(out, "edgeproxy.cdx.json"),
  sbom([metafile, dashboard.metafile], [...addons, "@ip-location-db/geolite2-country-mmdb", ...dataPackages])
)

// As a whole: whoever starts the program meanwhile gets the old one or the new one.
const old = `${out}.old`
for (let attempts = 0; ; attempts++) {
  try {
    if (existsSync(place)) await rename(place, old)
    await rename(out, place)
    break
  } catch (error) {
    // Another build was quicker.
    if (attempts === 10) throw error
  }
}
await rm(old, { recursive: true, force: true })
