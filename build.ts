import { build } from "esbuild"
import { chmod, copyFile, mkdir, rm } from "node:fs/promises"
import { createRequire } from "node:module"
import { dirname, join } from "node:path"

/**
 * Bundles the program into `dist`: one start file, the code it loads, the mock backend as a program of its own, and the
 * embedded GeoIP database with its licence beside them. Nothing else is needed at run time.
 */
const out = "dist"
await rm(out, { recursive: true, force: true })
await mkdir(out, { recursive: true })

await build({
  entryPoints: {
    edgeproxy: "layers/edgeproxy.ts",
    "mock-backend": "layers/demo/mock-backend.ts"
  },
  outdir: out,
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
await chmod(join(out, "edgeproxy.js"), 0o755)

const geolite = dirname(createRequire(import.meta.url).resolve("@ip-location-db/geolite2-country-mmdb/package.json"))
for (const file of ["geolite2-country.mmdb", "GEOLITE2_LICENSE", "GEOLITE2_EULA"]) {
  await copyFile(join(geolite, file), join(out, file))
}
