import { describeTransport } from "./describeTransport.ts"
import { engine } from "./engines/node.ts"

describeTransport(engine)
