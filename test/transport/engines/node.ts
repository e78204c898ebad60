import * as NodeTransport from "../../../layers/transport-node/NodeTransport.ts"
import type { Engine } from "../Engine.ts"

export const engine: Engine = {
  name: "node",
  layer: NodeTransport.layer,
  abilities: ["keeps connections out of threads' heaps", "obeys at once", "opens connections ahead"]
}
