import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import type { Mesh, MeshHost } from "./Mesh.ts"
import { MeshFileError, MeshFiles, type SecretFolder } from "./MeshFiles.ts"
import { MeshKeys } from "./MeshKeys.ts"
import { hostPath } from "./Topology.ts"
import { TopologyError, type TopologyProblem } from "./TopologyError.ts"
import { type HostKeys, type Secrets, wgQuickFile } from "./wgQuick.ts"

/** Files that are there and say something else. */
export class WouldOverwrite extends Data.TaggedError("WouldOverwrite")<{ readonly files: ReadonlyArray<string> }> {
  override get message(): string {
    return [
      "nothing was written: these files would change; look at what you changed, then say --force",
      ...this.files.map((file) => `  ${file}`)
    ].join("\n")
  }
}

export interface GenerateOptions {
  /** The topology file, for the paths in it and for errors. */
  readonly file: string
  readonly out: string
  /** Replaces files that say something else. Keys are kept even so. */
  readonly force: boolean
}

export interface GeneratedFile {
  readonly host: MeshHost
  readonly path: string
  readonly state: "written" | "replaced" | "unchanged"
  /** The address that the file had before, when it is another one now. */
  readonly formerAddress: string | undefined
}

export interface Generated {
  readonly files: ReadonlyArray<GeneratedFile>
  /** Folders of the output that belong to no host of the topology any more. */
  readonly stale: ReadonlyArray<string>
}

const KEY_FILE = "private.key"
const PRESHARED_FILE = "preshared.secret"

/** Something to write once all is known to fit. */
interface Pending {
  readonly name: string
  readonly text: Redacted.Redacted<string>
}

/** The keys of the hosts: known ones, those of an earlier run, new ones. */
const keysOf = Effect.fnUntraced(function* (mesh: Mesh, folder: SecretFolder, { file, out }: GenerateOptions) {
  const { fromPrivate, generate } = yield* MeshKeys
  const files = yield* MeshFiles
  const pending: Array<Pending> = []
  const problems: Array<TopologyProblem> = []
  const keys = new Map<MeshHost, HostKeys>()

  const keyOf = Effect.fnUntraced(function* ({ key, name, path }: MeshHost) {
    if (key._tag === "Elsewhere") return { publicKey: key.publicKey, privateKey: undefined }
    const kept = `${name}/${KEY_FILE}`
    const known = key._tag === "File" ? yield* files.keyFile(file, key.path) : yield* folder.read(kept)
    if (known === undefined) {
      const made = yield* generate
      pending.push({ name: kept, text: Redacted.make(`${Redacted.value(made.privateKey)}\n`) })
      return made
    }
    const pair = fromPrivate(known)
    if (pair !== undefined) return pair
    if (key._tag === "Generated") {
      return yield* new MeshFileError({
        path: `${out}/${kept}`,
        detail: "not a WireGuard key: put the right one back, or remove it for a new one"
      })
    }
    problems.push({ path: hostPath(path, name, "private_key_file"), message: "not a WireGuard key" })
    return undefined
  })

  const owners = new Map<string, MeshHost>()
  for (const host of mesh.hosts) {
    const pair = yield* keyOf(host)
    if (pair === undefined) continue
    keys.set(host, pair)
    const other = owners.get(pair.publicKey)
    owners.set(pair.publicKey, host)
    if (other !== undefined) {
      problems.push({
        path: hostPath(host.path, host.name),
        message: `its key is that of ${hostPath(other.path, other.name)} too`
      })
    }
  }
  if (problems.length > 0) return yield* new TopologyError({ file, problems })
  return { keys, pending }
})

/** The function that gives two hosts their preshared key: all come from one secret, which is kept. */
const presharedOf = Effect.fnUntraced(function* (
  folder: SecretFolder,
  keys: ReadonlyMap<MeshHost, HostKeys>,
  { out }: GenerateOptions
) {
  const { generateSecret, preshared } = yield* MeshKeys
  const kept = yield* folder.read(PRESHARED_FILE)
  const secret = kept ?? (yield* generateSecret)
  const bad = new MeshFileError({ path: `${out}/${PRESHARED_FILE}`, detail: "not 32 bytes in base64" })
  if (preshared(secret, "", "") === undefined) return yield* bad
  return {
    pending: kept === undefined ? [{ name: PRESHARED_FILE, text: Redacted.make(`${Redacted.value(secret)}\n`) }] : [],
    of: (a: MeshHost, b: MeshHost): Redacted.Redacted<string> =>
      preshared(secret, keys.get(a)?.publicKey ?? "", keys.get(b)?.publicKey ?? "") ?? secret
  }
})

const addressLine = /^Address = (\S+?)\/\d+/m

/**
 * Writes a wg-quick file for every host: `<out>/<host>/<interface>.conf`. Keys that are there are kept; a file that is there and
 * says something else is replaced only by force, and nothing is written before all of this is known.
 */
export const generate = Effect.fnUntraced(function* (mesh: Mesh, options: GenerateOptions) {
  const { force, out } = options
  const folder = yield* (yield* MeshFiles).secretFolder(out)
  const { keys, pending } = yield* keysOf(mesh, folder, options)
  const preshared = mesh.preshared ? yield* presharedOf(folder, keys, options) : undefined
  const secrets: Secrets = {
    // Every host has some, or the mesh was refused above.
    keysOf: (host) => keys.get(host) ?? { publicKey: "", privateKey: undefined },
    presharedOf: preshared?.of
  }

  const planned = yield* Effect.forEach(mesh.hosts, (host) =>
    Effect.gen(function* () {
      const name = `${host.name}/${mesh.interfaceName}.conf`
      const text = wgQuickFile(host, mesh, secrets)
      const before = yield* folder.read(name)
      const former = before === undefined ? undefined : addressLine.exec(Redacted.value(before))?.[1]
      const now = addressLine.exec(Redacted.value(text))?.[1]
      const state: GeneratedFile["state"] =
        before === undefined ? "written" : Redacted.value(before) === Redacted.value(text) ? "unchanged" : "replaced"
      return {
        name,
        text,
        file: { host, path: `${out}/${name}`, state, formerAddress: former === now ? undefined : former }
      }
    })
  )
  const changed = planned.filter(({ file }) => file.state === "replaced")
  if (changed.length > 0 && !force) {
    return yield* new WouldOverwrite({
      files: changed.map(({ file: { formerAddress, path } }) =>
        formerAddress === undefined ? path : `${path} (its address was ${formerAddress})`
      )
    })
  }
  // Keys first: a file without its key would be lost, a key without its file is taken up by the next run.
  for (const { name, text } of [...(preshared?.pending ?? []), ...pending]) yield* folder.create(name, text)
  for (const { file, name, text } of planned) {
    if (file.state === "written") yield* folder.create(name, text)
    if (file.state === "replaced") yield* folder.replace(name, text)
  }
  const known = new Set(mesh.hosts.map(({ name }) => name))
  const stale = (yield* folder.folders).filter((name) => !known.has(name))
  return { files: planned.map(({ file }) => file), stale } satisfies Generated
})
