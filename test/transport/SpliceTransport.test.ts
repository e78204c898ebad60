import { describeTransport } from "./describeTransport.ts"
import { engine } from "./engines/splice.ts"

describeTransport(engine)
