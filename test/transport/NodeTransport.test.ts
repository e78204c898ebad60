import * as NodeTransport from "../../layers/transport-node/NodeTransport.ts"
import { describeTransport } from "./describeTransport.ts"

describeTransport("node", NodeTransport.layer)
