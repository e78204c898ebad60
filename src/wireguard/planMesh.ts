import * as Result from "effect/Result"
import { type Plan, planOf } from "./addressPlan.ts"
import { peersOf } from "./allowedIps.ts"
import { conflictsOf } from "./conflicts.ts"
import { resolveHosts, USUAL } from "./hosts.ts"
import type { Mesh, MeshHost } from "./Mesh.ts"
import { unreachedOf } from "./reachability.ts"
import { type Wiring, wiringOf } from "./shapes.ts"
import { decodeDocument, hostPath, type Settings, usualRegionNumbers } from "./Topology.ts"
import { TopologyError, type TopologyProblem } from "./TopologyError.ts"

export const USUAL_NETWORKS = { ipv4: "10.50.0.0/16", ipv6: "fd00:ed9e::/48" } as const

/** A full mesh of so many is half a million tunnels: more need hubs, and a tool that writes hubs' files by region. */
const MAX_HOSTS = 1_000

interface Planned {
  readonly mesh: Mesh
  /** What works, and deserves a look. */
  readonly warnings: ReadonlyArray<TopologyProblem>
}

const plansOf = (settings: Settings) => {
  const problems: Array<TopologyProblem> = []
  const plans = ([4, 6] as const).flatMap((family): ReadonlyArray<Plan> => {
    const key = `ipv${family}` as const
    const text = settings[key] ?? USUAL_NETWORKS[key]
    if (text === "off") return []
    const plan = planOf(text, family)
    if (Result.isSuccess(plan)) return [plan.success]
    problems.push({ path: key, message: `expected ${plan.failure}` })
    return []
  })
  if (plans.length === 0 && problems.length === 0) problems.push({ path: "ipv6", message: "both families are off" })
  return { plans, problems }
}

const sameRegionNumbers = (settings: Settings): ReadonlyArray<TopologyProblem> => {
  const seen = new Map<number, string>()
  return Object.entries({ ...usualRegionNumbers, ...settings.regions }).flatMap(([region, number]) => {
    const other = seen.get(number)
    seen.set(number, region)
    return other === undefined ? [] : [{ path: `regions.${region}`, message: `${number} is that of ${other} already` }]
  })
}

const warningsOf = (settings: Settings, { hosts }: Mesh): ReadonlyArray<TopologyProblem> => [
  ...hosts.flatMap(({ mtu, name, path }) =>
    mtu > USUAL.mtu
      ? [{ path: hostPath(path, name, "mtu"), message: `${mtu} fits only paths that carry more than 1500 bytes` }]
      : []
  ),
  ...(settings.ipv6 === undefined
    ? [
        {
          path: "ipv6",
          message: `${USUAL_NETWORKS.ipv6} is everybody's: choose 40 random bits (RFC 4193) if networks may join`
        }
      ]
    : [])
]

/** Those that get packets for others. */
const relaysOf = (hosts: ReadonlyArray<MeshHost>, { next }: Wiring): ReadonlySet<MeshHost> =>
  new Set(
    hosts.flatMap((from) =>
      hosts.flatMap((to) => {
        const hop = from === to ? to : next(from, to)
        return hop === to ? [] : [hop]
      })
    )
  )

/**
 * The whole overlay of a decoded topology file: addresses, tunnels, AllowedIPs. Fails with everything that is wrong at once;
 * what it gives has been walked: every host reaches every other.
 */
export const planMesh = (raw: unknown, file: string): Result.Result<Planned, TopologyError> => {
  const { entries, problems: misread, settings } = decodeDocument(raw)
  if (settings === undefined) return Result.fail(new TopologyError({ file, problems: misread }))
  const { plans, problems: badNetworks } = plansOf(settings)
  const badNumbers = sameRegionNumbers(settings)
  const { hosts, problems: badHosts } = resolveHosts(settings, plans, entries)
  const few = hosts.length < 2 && misread.length === 0
  const problems = [
    ...misread,
    ...badNetworks,
    ...badNumbers,
    ...badHosts,
    ...(few ? [{ path: "pop", message: "a mesh has two hosts or more" }] : []),
    ...(hosts.length > MAX_HOSTS ? [{ path: "backend", message: `more than ${MAX_HOSTS} hosts` }] : []),
    // Numbers are counted over all hosts: without those that could not be read they would be others.
    ...(misread.length === 0 ? conflictsOf(hosts, plans) : [])
  ]
  const { problems: unwired, wiring } = wiringOf[settings.topology](misread.length === 0 ? hosts : [])
  if (misread.length === 0 && !few) problems.push(...unwired)
  if (wiring === undefined || problems.length > 0) return Result.fail(new TopologyError({ file, problems }))

  const regionNumbers = [0, ...Object.values({ ...usualRegionNumbers, ...settings.regions })]
  const peers = peersOf(hosts, plans, regionNumbers, wiring)
  const unreached = unreachedOf(hosts, peers)
  if (unreached.length > 0) {
    return Result.fail(
      new TopologyError({
        file,
        problems: unreached.map(({ from, to, why }) => ({
          path: hostPath(from.path, from.name),
          message: `can't reach ${hostPath(to.path, to.name)}: ${why}`
        }))
      })
    )
  }
  const mesh: Mesh = {
    shape: settings.topology,
    plans,
    interfaceName: settings.interface ?? "wg0",
    preshared: settings.preshared_keys ?? false,
    privateKeyPath: settings.private_key_path ?? "/etc/wireguard/private.key",
    hosts,
    links: wiring.links,
    peers,
    relays: relaysOf(hosts, wiring)
  }
  return Result.succeed({ mesh, warnings: warningsOf(settings, mesh) })
}
