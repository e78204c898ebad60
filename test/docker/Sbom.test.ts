import { assert, describe, it } from "@effect/vitest"
import { Ajv } from "ajv"
import { readdirSync, readFileSync } from "node:fs"
import { createRequire } from "node:module"
import { dirname, join } from "node:path"
import lock from "../../package-lock.json" with { type: "json" }
import { bundleDirectory } from "../support/EdgeProcess.ts"

interface Component {
  readonly "bom-ref": string
  readonly licenses: ReadonlyArray<object>
  readonly hashes?: ReadonlyArray<{ readonly content: string }>
  readonly components?: ReadonlyArray<Component>
  readonly pedigree?: object
}

interface Bom {
  readonly components: ReadonlyArray<Component>
  readonly dependencies: ReadonlyArray<{ readonly dependsOn: ReadonlyArray<string> }>
}

const require = createRequire(import.meta.url)
const schemas = join(dirname(require.resolve("@cyclonedx/cyclonedx-library/package.json")), "res/schema")
const schema = (name: string): object =>
  JSON.parse(readFileSync(join(schemas, `${name}.SNAPSHOT.schema.json`), "utf8")) as object

const bom = JSON.parse(readFileSync(join(bundleDirectory, "edgeproxy.cdx.json"), "utf8")) as Bom

/** By its package URL without the version. */
const find = (components: ReadonlyArray<Component> | undefined, name: string): Component | undefined =>
  components?.find((component) => component["bom-ref"].startsWith(`pkg:npm/${name.replace("@", "%40")}@`))

describe("the bill of materials of what is shipped", () => {
  it("is one that CycloneDX's own schema allows, with licences that SPDX knows", () => {
    // Formats, those of addresses of licences for one, would take another package.
    const ajv = new Ajv({ strict: false, validateFormats: false })
    for (const name of ["spdx", "jsf-0.82"]) {
      ajv.addSchema(schema(name), `http://cyclonedx.org/schema/${name}.SNAPSHOT.schema.json`)
    }
    const validate = ajv.compile(schema("bom-1.6"))
    assert.isTrue(validate(bom), JSON.stringify(validate.errors))
    const wrong = {
      ...bom,
      components: bom.components.map((each) => ({ ...each, licenses: [{ license: { id: "?" } }] }))
    }
    assert.isFalse(validate(wrong))
  })

  it.each([
    ["is bundled", "effect"],
    ["is bundled by another one only", "@effect/platform-node-shared"],
    ["is bundled in a copy of its own", "ws"],
    ["is on the dashboard's page", "uplot"],
    ["the page has data of", "world-atlas"],
    ["is bundled, with an addon beside it", "koffi"],
    ["is a database", "@ip-location-db/geolite2-country-mmdb"]
  ])("has what %s: %s, with licence and hash", (_, name) => {
    const component = find(bom.components, name)
    assert.lengthOf(component?.licenses ?? [], 1)
    assert.match(component?.hashes?.[0]?.content ?? "", /^[0-9a-f]{128}$/)
    assert.include(bom.dependencies[0]?.dependsOn ?? [], component?.["bom-ref"])
  })

  it("has the addons that are there, and no other", () => {
    const there = readdirSync(join(bundleDirectory, "node_modules/@koromix")).map(
      (name) => `pkg:npm/%40koromix/${name}`
    )
    const told = bom.components.flatMap(({ "bom-ref": ref }) =>
      ref.includes("koromix") ? [ref.replace(/@[^@]*$/, "")] : []
    )
    assert.deepStrictEqual(told, there)
  })

  // `npm ci` on the one processor takes it from there for the other.
  it.each(["x64", "arm64"])("can be had for Linux on %s: the lock file has its addon", (cpu) => {
    assert.deepInclude(Object.entries(lock.packages).find(([name]) => name.endsWith(`/koffi-linux-${cpu}`))?.[1], {
      cpu: [cpu],
      os: ["linux"]
    })
  })

  it("says what is a copy in another one, and what was patched", () => {
    assert.isDefined(find(find(bom.components, "effect")?.components, "swagger-ui-dist"))
    assert.deepInclude(find(bom.components, "@effect/sql-sqlite-node"), {
      pedigree: {
        patches: [
          {
            type: "unofficial",
            diff: { url: "layers/sqlite/patches/@effect+sql-sqlite-node+4.0.0-beta.102.patch" }
          }
        ],
        notes: "Patched when it is installed."
      }
    })
  })

  it.each(["vitest", "typescript", "esbuild", "d3-geo", "node", "ajv"])(
    "has nothing that only builds or tests: %s",
    (name) => {
      assert.isUndefined(find(bom.components, name))
    }
  )
})
