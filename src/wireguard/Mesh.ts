import type * as Host from "effect/net/Host"
import type * as IpNetwork from "effect/net/IpNetwork"
import type * as NetAddress from "effect/net/NetAddress"
import type { Region } from "../domain/Region.ts"
import type { Plan } from "./addressPlan.ts"
import type { Shape } from "./Topology.ts"

/** Where the private key of a host is, as far as the file says. */
export type KeyOrigin =
  | { readonly _tag: "Generated" }
  | { readonly _tag: "File"; readonly path: string }
  /** It never leaves its host: only the public one is known. */
  | { readonly _tag: "Elsewhere"; readonly publicKey: string }

/** A member of the overlay. */
export interface MeshHost {
  readonly kind: "pop" | "backend"
  /** Where it stands in the file: `pop[0]`. */
  readonly path: string
  readonly name: string
  readonly region: Region
  /** One for each family that is in use. */
  readonly addresses: ReadonlyArray<NetAddress.IpAddress>
  /** Where others find it; undefined for a host that only calls. */
  readonly endpoint: Host.HostPort | undefined
  readonly listenPort: number | undefined
  /** Seconds between signs of life that keep a NAT's mapping; 0 for a host that is not behind one. */
  readonly keepaliveSecs: number
  readonly mtu: number
  /** Networks behind it that the others reach through it. */
  readonly routes: ReadonlyArray<IpNetwork.IpNetwork>
  readonly hub: boolean
  readonly via: string | undefined
  readonly key: KeyOrigin
}

/** One `[Peer]`: a tunnel from a host to another, and all that is reached through it. */
export interface Peer {
  readonly host: MeshHost
  readonly allowed: ReadonlyArray<IpNetwork.IpNetwork>
}

/** A tunnel, each once. */
export interface Link {
  readonly from: MeshHost
  readonly to: MeshHost
}

/** A planned overlay: every pair of hosts reaches each other. */
export interface Mesh {
  readonly shape: Shape
  readonly plans: ReadonlyArray<Plan>
  readonly interfaceName: string
  readonly preshared: boolean
  readonly privateKeyPath: string
  readonly hosts: ReadonlyArray<MeshHost>
  readonly links: ReadonlyArray<Link>
  /** The peers of each host, in the order of the file. */
  readonly peers: ReadonlyMap<MeshHost, ReadonlyArray<Peer>>
  /** Hosts that pass on what is meant for others. */
  readonly relays: ReadonlySet<MeshHost>
}
