import { describeTransport } from "./describeTransport.ts"
import { engine } from "./engines/tls.ts"

describeTransport(engine)
