import * as Redacted from "effect/Redacted"
import * as Host from "effect/net/Host"
import * as IpNetwork from "effect/net/IpNetwork"
import * as NetAddress from "effect/net/NetAddress"
import type { Mesh, MeshHost } from "./Mesh.ts"

/** The keys of one host; the private one is undefined when only the host has it. */
export interface HostKeys {
  readonly publicKey: string
  readonly privateKey: Redacted.Redacted<string> | undefined
}

/** What a file needs besides the mesh. */
export interface Secrets {
  readonly keysOf: (host: MeshHost) => HostKeys
  /** The preshared key of a pair, the same for both. */
  readonly presharedOf: ((a: MeshHost, b: MeshHost) => Redacted.Redacted<string>) | undefined
}

const titles = { pop: "POP", backend: "backend" } as const

const title = ({ kind, name, region }: MeshHost): string => `# ${name}: ${titles[kind]} in ${region}`

/**
 * IPv4 can be forwarded for one interface alone; IPv6 only for all, and networks behind the host come back through another one.
 */
const forwarding = (host: MeshHost, { plans, relays }: Mesh): ReadonlyArray<string> => {
  if (!relays.has(host) && host.routes.length === 0) return []
  const families = new Set(plans.map(({ network }) => NetAddress.familyOf(network.address)))
  const four = host.routes.length > 0 ? "net.ipv4.ip_forward=1" : "net.ipv4.conf.%i.forwarding=1"
  return [
    ...(families.has("IPv4") ? [`PostUp = sysctl -q -w ${four}`] : []),
    ...(families.has("IPv6") ? ["PostUp = sysctl -q -w net.ipv6.conf.all.forwarding=1"] : [])
  ]
}

const interfaceLines = (host: MeshHost, mesh: Mesh, { keysOf }: Secrets): ReadonlyArray<string> => {
  const { privateKey } = keysOf(host)
  // The prefix is that of the whole overlay: what is nobody's goes nowhere else.
  const addresses = host.addresses.map((ip) => {
    const plan = mesh.plans.find(({ network }) => NetAddress.familyOf(network.address) === NetAddress.familyOf(ip))
    return `${NetAddress.formatIp(ip)}/${plan?.network.prefixLength ?? NetAddress.width(ip)}`
  })
  return [
    title(host),
    "[Interface]",
    `Address = ${addresses.join(", ")}`,
    ...(host.listenPort === undefined ? [] : [`ListenPort = ${host.listenPort}`]),
    `MTU = ${host.mtu}`,
    privateKey === undefined
      ? `PostUp = wg set %i private-key ${mesh.privateKeyPath}`
      : `PrivateKey = ${Redacted.value(privateKey)}`,
    ...forwarding(host, mesh)
  ]
}

/** The wg-quick(8) file of a host. A secret, unless its private key is elsewhere and there are no preshared ones. */
export const wgQuickFile = (host: MeshHost, mesh: Mesh, secrets: Secrets): Redacted.Redacted<string> => {
  const peers = (mesh.peers.get(host) ?? []).map(({ allowed, host: peer }) => [
    title(peer),
    "[Peer]",
    `PublicKey = ${secrets.keysOf(peer).publicKey}`,
    ...(secrets.presharedOf === undefined ? [] : [`PresharedKey = ${Redacted.value(secrets.presharedOf(host, peer))}`]),
    ...(peer.endpoint === undefined ? [] : [`Endpoint = ${Host.formatHostPort(peer.endpoint)}`]),
    `AllowedIPs = ${allowed.map(IpNetwork.format).join(", ")}`,
    ...(host.keepaliveSecs === 0 ? [] : [`PersistentKeepalive = ${host.keepaliveSecs}`])
  ])
  const sections = [interfaceLines(host, mesh, secrets), ...peers]
  return Redacted.make(`${sections.map((lines) => lines.join("\n")).join("\n\n")}\n`)
}
