import type { Metafile } from "esbuild"
import { existsSync, readFileSync } from "node:fs"
import { join } from "node:path"
import lock from "./package-lock.json" with { type: "json" }
import manifest from "./package.json" with { type: "json" }

/**
 * The bill of materials (CycloneDX 1.6) of what is shipped: bundled code has no package files left that a scanner could find.
 */

interface Locked {
  readonly version?: string
  readonly license?: string
  readonly integrity?: string
}

// As npm writes it; its keys are the directories of packages.
const locked: Readonly<Record<string, Locked>> = lock.packages

/** The directory of the package that a file belongs to; undefined for files of this repository. */
const directoryOf = (file: string): string | undefined =>
  /node_modules\/(?:.*\/node_modules\/)?(?:@[^/]+\/)?[^/]+/.exec(file)?.[0]

/** The files that something is left of in the output. */
const filesOf = ({ outputs }: Metafile): ReadonlyArray<string> =>
  Object.values(outputs).flatMap(({ inputs }) =>
    Object.entries(inputs).flatMap(([file, { bytesInOutput }]) => (bytesInOutput > 0 ? [file] : []))
  )

const purlOf = (name: string, version: string): string => `pkg:npm/${name.replace("@", "%40")}@${version}`

/** An SPDX identifier or expression, or else the words that the package has for it. */
const licensesOf = (license: string | undefined): ReadonlyArray<object> => {
  if (license === undefined) return []
  if (/^[\w.+-]+$/.test(license)) return [{ license: { id: license } }]
  return license.startsWith("SEE ") ? [{ license: { name: license } }] : [{ expression: license }]
}

const component = (name: string, { integrity, license, version = "" }: Locked): object => {
  const [scope, rest] = name.startsWith("@") ? name.split("/", 2) : [undefined, name]
  const purl = purlOf(name, version)
  const [algorithm, digest = ""] = integrity?.split("-", 2) ?? []
  return {
    type: "library",
    "bom-ref": purl,
    ...(scope === undefined ? {} : { group: scope }),
    name: rest,
    version,
    scope: "required",
    // Of the package as the registry has it.
    ...(algorithm === "sha512"
      ? { hashes: [{ alg: "SHA-512", content: Buffer.from(digest, "base64").toString("hex") }] }
      : {}),
    licenses: licensesOf(license),
    purl
  }
}

const PATCHES = "layers/sqlite/patches"

/** What has been changed about a package before it was bundled. */
const pedigreeOf = (name: string, version = ""): object => {
  const patch = join(PATCHES, `${name.replace("/", "+")}+${version}.patch`)
  if (!existsSync(join(import.meta.dirname, patch))) return {}
  return {
    pedigree: { patches: [{ type: "unofficial", diff: { url: patch } }], notes: "Patched when it is installed." }
  }
}

/** Effect carries a copy of Swagger UI, which no package file tells of. */
const withinOf = (files: ReadonlyArray<string>): object => {
  const file = files.find((path) => path.endsWith("/httpApiSwagger.js"))
  if (file === undefined) return {}
  const version = /PACKAGE_VERSION:\\?"([\d.]+)/.exec(readFileSync(file, "utf8"))?.[1]
  if (version === undefined) throw new Error(`${file} does not tell its version of Swagger UI`)
  return { components: [component("swagger-ui-dist", { version, license: "Apache-2.0" })] }
}

/** The packages that these bundles were made of, and those whose files are copied or have gone into the bundle as data. */
export const sbom = (bundles: ReadonlyArray<Metafile>, more: ReadonlyArray<string>): string => {
  const files = bundles.flatMap(filesOf)
  const found = new Set(files.flatMap((file) => directoryOf(file) ?? []))
  for (const name of more) found.add(`node_modules/${name}`)
  const components = [...found].sort().map((directory) => {
    const entry = locked[directory]
    if (entry === undefined) throw new Error(`${directory} is not in package-lock.json`)
    const name = directory.slice(directory.lastIndexOf("node_modules/") + "node_modules/".length)
    const own = files.filter((file) => directoryOf(file) === directory)
    return { ...component(name, entry), ...pedigreeOf(name, entry.version), ...withinOf(own) }
  })
  const root = purlOf(manifest.name, manifest.version)
  const bom = {
    $schema: "http://cyclonedx.org/schema/bom-1.6.schema.json",
    bomFormat: "CycloneDX",
    specVersion: "1.6",
    version: 1,
    metadata: {
      lifecycles: [{ phase: "build" }],
      component: {
        type: "application",
        "bom-ref": root,
        name: manifest.name,
        version: manifest.version,
        description: manifest.description,
        licenses: licensesOf(manifest.license),
        purl: root
      }
    },
    components,
    dependencies: [{ ref: root, dependsOn: components.flatMap((each) => ("bom-ref" in each ? [each["bom-ref"]] : [])) }]
  }
  return `${JSON.stringify(bom, undefined, 2)}\n`
}
