import type { Link, MeshHost } from "./Mesh.ts"
import { hostPath, type Shape } from "./Topology.ts"
import type { TopologyProblem } from "./TopologyError.ts"

/** Who has a tunnel to whom, and which peer a host gives a packet for another one. */
export interface Wiring {
  readonly links: ReadonlyArray<Link>
  /** Defined for two different hosts. Both directions of a pair take the same way. */
  readonly next: (from: MeshHost, to: MeshHost) => MeshHost
}

type Wired = { readonly wiring: Wiring | undefined; readonly problems: ReadonlyArray<TopologyProblem> }

const at = (host: MeshHost, key = ""): string => hostPath(host.path, host.name, key)
const failed = (...problems: ReadonlyArray<TopologyProblem>): Wired => ({ wiring: undefined, problems })

/** A tunnel is opened by whoever can find the other. */
const canMeet = (a: MeshHost, b: MeshHost): boolean => a.endpoint !== undefined || b.endpoint !== undefined

const pairs = (hosts: ReadonlyArray<MeshHost>): ReadonlyArray<Link> =>
  hosts.flatMap((from, index) => hosts.slice(index + 1).map((to) => ({ from, to })))

const misplaced = (hosts: ReadonlyArray<MeshHost>, key: "hub" | "via", shape: Shape): ReadonlyArray<TopologyProblem> =>
  hosts
    .filter((host) => (key === "hub" ? host.hub : host.via !== undefined))
    .map((host) => ({ path: at(host, key), message: `means nothing in a ${shape} topology` }))

/** One POP in the middle; everybody else has a tunnel to it and to nobody else. */
const hubSpoke = (hosts: ReadonlyArray<MeshHost>): Wired => {
  const pops = hosts.filter(({ kind }) => kind === "pop")
  const marked = pops.filter(({ hub }) => hub)
  const [hub, second] = marked.length === 0 && pops.length === 1 ? pops : marked
  const problems = [
    ...misplaced(hosts, "via", "hub-spoke"),
    ...(second === undefined ? [] : [{ path: at(second, "hub"), message: "a hub-spoke topology has one hub" }])
  ]
  if (hub === undefined) return failed(...problems, { path: "pop", message: "mark one POP with hub = true" })
  if (hub.endpoint === undefined) {
    return failed(...problems, { path: at(hub, "endpoint"), message: "the hub needs one: all others call it" })
  }
  const links = hosts.filter((host) => host !== hub).map((to) => ({ from: hub, to }))
  return { wiring: { links, next: (from, to) => (from === hub ? to : hub) }, problems }
}

/** A tunnel between any two; two that both only call meet at a POP that can be called. */
const fullMesh = (hosts: ReadonlyArray<MeshHost>): Wired => {
  const misuse = [...misplaced(hosts, "hub", "full-mesh"), ...misplaced(hosts, "via", "full-mesh")]
  const callable = hosts.filter(({ endpoint, kind }) => kind === "pop" && endpoint !== undefined)
  const order = new Map(hosts.map((host, index) => [host, index]))
  const relayOf = (a: MeshHost, b: MeshHost): MeshHost | undefined => {
    const first = (order.get(a) ?? 0) < (order.get(b) ?? 0) ? a : b
    return callable.find(({ region }) => region === first.region) ?? callable[0]
  }
  const unmet = callable.length > 0 ? [] : pairs(hosts).filter(({ from, to }) => !canMeet(from, to))
  const problems = unmet.map(({ from, to }) => ({
    path: at(to, "endpoint"),
    message: `can't reach ${at(from)}: neither has an endpoint, and no POP has one to pass packets on`
  }))
  return {
    wiring: {
      links: pairs(hosts).filter(({ from, to }) => canMeet(from, to)),
      next: (from, to) => (canMeet(from, to) ? to : (relayOf(from, to) ?? to))
    },
    problems: [...misuse, ...problems]
  }
}

/** Each region has a hub; the hubs have tunnels to each other, the others of a region to its hub. */
const hierarchical = (hosts: ReadonlyArray<MeshHost>): Wired => {
  const problems: Array<TopologyProblem> = []
  const hubs = new Map<string, MeshHost>()
  for (const region of new Set(hosts.map(({ region }) => region))) {
    const pops = hosts.filter((host) => host.kind === "pop" && host.region === region && host.via === undefined)
    const marked = pops.filter(({ hub }) => hub)
    const [hub, second] = marked.length === 0 && pops.length === 1 ? pops : marked
    if (second !== undefined) problems.push({ path: at(second, "hub"), message: `region ${region} has a hub already` })
    if (hub !== undefined) hubs.set(region, hub)
    else if (pops[0] !== undefined) {
      problems.push({ path: at(pops[0], "hub"), message: `mark one of the POPs of region ${region} with hub = true` })
    }
  }
  const isHub = new Set(hubs.values())
  const up = new Map<MeshHost, MeshHost>()
  for (const host of hosts) {
    if (isHub.has(host)) continue
    if (host.hub) {
      problems.push({ path: at(host, "via"), message: "a hub hangs on no other" })
      continue
    }
    const named = host.via === undefined ? undefined : hosts.find(({ name }) => name === host.via)
    const hub = host.via === undefined ? hubs.get(host.region) : named
    if (hub === undefined || !isHub.has(hub)) {
      // A region whose POPs are not marked has been told.
      const told = host.via === undefined && problems.some(({ message }) => message.includes(`region ${host.region} `))
      const message =
        host.via === undefined ? `region ${host.region} has no POP: name a hub` : "expected the name of a hub"
      if (!told) problems.push({ path: at(host, "via"), message })
    } else if (canMeet(host, hub)) up.set(host, hub)
    else problems.push({ path: at(hub, "endpoint"), message: `the hub needs one: ${at(host)} has none either` })
  }
  const backbone = pairs(Array.from(isHub))
  for (const { from, to } of backbone) {
    if (canMeet(from, to)) continue
    problems.push({ path: at(to, "endpoint"), message: `can't reach the hub ${at(from)}: neither has an endpoint` })
  }
  if (problems.length > 0) return failed(...problems)
  return {
    problems,
    wiring: {
      links: [...backbone, ...Array.from(up, ([to, from]) => ({ from, to }))],
      next: (from, to) => {
        const own = up.get(from)
        if (own !== undefined) return own
        const other = up.get(to)
        return other === undefined || other === from ? to : other
      }
    }
  }
}

export const wiringOf: Readonly<Record<Shape, (hosts: ReadonlyArray<MeshHost>) => Wired>> = {
  "hub-spoke": hubSpoke,
  "full-mesh": fullMesh,
  hierarchical
}
