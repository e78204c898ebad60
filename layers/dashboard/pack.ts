import { build, type Metafile, type Plugin } from "esbuild"
import { createHash } from "node:crypto"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { brotliCompressSync, constants, gzipSync } from "node:zlib"
import type { PageAsset } from "../../src/dashboard/PageAsset.ts"
import { worldMap } from "./worldMap.ts"

/** Puts the web page together when the program is built. */

const page = join(import.meta.dirname, "page")

const WORLD = "edgeproxy:world"

const world: Plugin = {
  name: "world",
  setup: ({ onLoad, onResolve }) => {
    onResolve({ filter: new RegExp(`^${WORLD}$`) }, ({ path }) => ({ path, namespace: WORLD }))
    onLoad({ filter: /.*/, namespace: WORLD }, () => ({ contents: JSON.stringify(worldMap()), loader: "json" }))
  }
}

const asset = (path: string, contentType: string, text: string | Uint8Array): PageAsset => {
  const plain = Buffer.from(text)
  const hash = createHash("sha256").update(plain).digest("base64url").slice(0, 22)
  return {
    path,
    contentType,
    etag: `"${hash}"`,
    plain,
    gzip: gzipSync(plain, { level: 9 }),
    br: brotliCompressSync(plain, { params: { [constants.BROTLI_PARAM_QUALITY]: 11 } })
  }
}

const textOf = (name: string): string => readFileSync(join(page, name), "utf8")

const bundle = () =>
  build({
    entryPoints: { dashboard: join(page, "main.ts") },
    outdir: ".",
    write: false,
    metafile: true,
    bundle: true,
    minify: true,
    charset: "utf8",
    format: "esm",
    target: ["es2022", "chrome120", "firefox121", "safari17"],
    legalComments: "inline",
    plugins: [world],
    logLevel: "warning"
  })

const assetsOf = ({ outputFiles }: Awaited<ReturnType<typeof bundle>>): ReadonlyArray<PageAsset> => {
  const bundled = (extension: string): Uint8Array => {
    const file = outputFiles.find(({ path }) => path.endsWith(extension))
    if (file === undefined) throw new Error(`the dashboard has no ${extension}`)
    return file.contents
  }
  return [
    asset("/", "text/html; charset=utf-8", textOf("index.html")),
    asset("/dashboard.js", "text/javascript; charset=utf-8", bundled(".js")),
    asset("/dashboard.css", "text/css; charset=utf-8", bundled(".css")),
    asset("/dashboard.svg", "image/svg+xml", textOf("icon.svg"))
  ]
}

/** The page's files: one of markup, one of script, one of style, and its picture for tabs. */
export const pack = async (): Promise<ReadonlyArray<PageAsset>> => assetsOf(await bundle())

/** Has the packed module, as `packedModule` gives it, where the program asks for it. */
export const packedPlugin = (contents: string): Plugin => ({
  name: "dashboard",
  setup: ({ onLoad, onResolve }) => {
    onResolve({ filter: /^edgeproxy:dashboard$/ }, ({ path }) => ({ path, namespace: "dashboard" }))
    onLoad({ filter: /.*/, namespace: "dashboard" }, () => ({ contents }))
  }
})

/** Packages that the page has data of, beside those it has code of. */
export const dataPackages = ["iso-3166", "world-atlas"]

const base64 = (data: Uint8Array): string => JSON.stringify(Buffer.from(data).toString("base64"))

/** A module that has them in itself, for the bundle, and what they were made of. */
export const packedModule = async (): Promise<{ readonly contents: string; readonly metafile: Metafile }> => {
  const made = await bundle()
  const entries = assetsOf(made).map(({ br, contentType, etag, gzip, path }) => {
    return `{path:${JSON.stringify(path)},contentType:${JSON.stringify(contentType)},etag:${JSON.stringify(etag)},gzip:${base64(gzip)},br:${base64(br)}}`
  })
  return { contents: `export default [${entries.join(",")}]`, metafile: made.metafile }
}
