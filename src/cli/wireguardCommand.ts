import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Host from "effect/net/Host"
import * as NetAddress from "effect/net/NetAddress"
import * as Option from "effect/Option"
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import { drawMesh } from "../wireguard/drawing/svg.ts"
import { generate as generateFiles } from "../wireguard/generate.ts"
import type { Mesh, MeshHost } from "../wireguard/Mesh.ts"
import { MeshFiles } from "../wireguard/MeshFiles.ts"
import { planMesh } from "../wireguard/planMesh.ts"
import * as flags from "./flags.ts"
import { answer, note } from "./output.ts"
import { textTable } from "./textTable.ts"
import { wireguardExample } from "./wireguardExample.ts"

const file = Argument.String("topology").pipe(Argument.withDescription("The topology file (TOML)"))

const svg = Flag.String("svg").pipe(
  Flag.withMetavar("PATH"),
  Flag.withDescription("Draw the mesh into this file"),
  Flag.optional
)

const force = Flag.Boolean("force").pipe(
  Flag.withDescription("Replace files that are there and say something else; keys are kept"),
  Flag.withDefault(false)
)

/** Reads and plans; warnings go beside the answer. */
const planned = Effect.fnUntraced(function* (path: string) {
  const raw = yield* MeshFiles.use(({ topology }) => topology(path))
  const { mesh, warnings } = yield* Effect.fromResult(planMesh(raw, path))
  for (const { message, path: at } of warnings) yield* note(`warning: ${path}: ${at}: ${message}`)
  return mesh
})

const draw = Effect.fnUntraced(function* (mesh: Mesh, path: string, overwrite: boolean) {
  yield* MeshFiles.use(({ drawing }) => drawing(path, drawMesh(mesh), overwrite))
  yield* note(`drawn: ${path}`)
})

const entryOf = (mesh: Mesh, host: MeshHost) => ({
  name: host.name,
  kind: host.kind,
  region: host.region,
  addresses: host.addresses.map(NetAddress.formatIp),
  endpoint: host.endpoint === undefined ? null : Host.formatHostPort(host.endpoint),
  peers: (mesh.peers.get(host) ?? []).map(({ host: { name } }) => name),
  relays: mesh.relays.has(host)
})
type Entry = ReturnType<typeof entryOf>

const columns = [
  { name: "host", show: ({ name }: Entry) => name },
  { name: "kind", show: ({ kind }: Entry) => kind },
  { name: "region", show: ({ region }: Entry) => region },
  { name: "addresses", show: ({ addresses }: Entry) => addresses.join(", ") },
  { name: "endpoint", show: ({ endpoint }: Entry) => endpoint },
  { name: "peers", show: ({ peers }: Entry) => peers.length, right: true },
  { name: "relays", show: ({ relays }: Entry) => relays }
]

const check = Command.make(
  "check",
  { file, json: flags.json },
  Effect.fnUntraced(function* ({ file, json }) {
    const mesh = yield* planned(file)
    const hosts = mesh.hosts.map((host) => entryOf(mesh, host))
    const { length: tunnels } = mesh.links
    yield* answer(json, { topology: mesh.shape, tunnels, hosts }, () =>
      [textTable(hosts, columns), "", `${hosts.length} hosts, ${tunnels} tunnels: every host reaches every other`].join(
        "\n"
      )
    )
  })
).pipe(
  Command.withDescription(
    "Plan the mesh and prove that every host reaches every other; writes nothing; exit 64 if something is wrong, all of it named"
  )
)

const generate = Command.make(
  "generate",
  {
    file,
    out: Flag.String("out").pipe(
      Flag.withMetavar("FOLDER"),
      Flag.withDescription("Where the files go; made, for its owner only"),
      Flag.withDefault("wireguard")
    ),
    svg,
    force,
    json: flags.json
  },
  Effect.fnUntraced(function* ({ file, force, json, out, svg }) {
    const mesh = yield* planned(file)
    const { files, stale } = yield* generateFiles(mesh, { file, out, force })
    const entries = files.map(({ formerAddress, host, path, state }) => ({
      host: host.name,
      address: host.addresses.map(NetAddress.formatIp)[0] ?? "",
      formerAddress: formerAddress ?? null,
      path,
      state
    }))
    yield* answer(json, { files: entries, stale }, () =>
      textTable(entries, [
        { name: "host", show: ({ host }) => host },
        { name: "address", show: ({ address }) => address },
        { name: "was", show: ({ formerAddress }) => formerAddress },
        { name: "file", show: ({ path }) => path },
        { name: "", show: ({ state }) => state }
      ])
    )
    for (const name of stale) yield* note(`note: ${out}/${name} belongs to no host of ${file} any more`)
    if (Option.isSome(svg)) yield* draw(mesh, svg.value, force)
  })
).pipe(
  Command.withDescription(
    "Write a wg-quick file for every host into FOLDER/<host>/, with new keys or those that are there; keys are never shown"
  ),
  Command.withExamples([{ command: "edgeproxy wireguard generate mesh.toml --out mesh --svg mesh.svg" }])
)

const drawCommand = Command.make(
  "draw",
  { file, svg, force },
  Effect.fnUntraced(function* ({ file, force, svg }) {
    const mesh = yield* planned(file)
    yield* Option.isSome(svg) ? draw(mesh, svg.value, force) : Console.log(drawMesh(mesh).trimEnd())
  })
).pipe(Command.withDescription("Draw the mesh as SVG, to standard output or into a file"))

const example = Command.make("example", {}, () => Console.log(wireguardExample.trimEnd())).pipe(
  Command.withDescription("Print a topology file to begin with")
)

/** `edgeproxy wireguard ...` (X1). */
export const wireguardCommand = Command.make("wireguard").pipe(
  Command.withDescription(
    "Plan a WireGuard mesh of POPs and backends from one file: check it, write wg-quick files, draw it"
  ),
  Command.withSubcommands([example, check, generate, drawCommand])
)
