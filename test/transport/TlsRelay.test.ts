import { describeTransport } from "./describeTransport.ts"
import { engines } from "./engines/tls.ts"

for (const engine of engines) describeTransport(engine)
