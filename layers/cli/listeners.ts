import * as Effect from "effect/Effect"
import { createServer } from "node:net"
import type { Endpoint } from "../../src/config/networks.ts"

const reasons: Readonly<Record<string, string>> = {
  EADDRINUSE: "it is in use",
  EADDRNOTAVAIL: "it is not an address of this host",
  EACCES: "no permission",
  EAFNOSUPPORT: "this host has no such addresses"
}

/** Why nothing can listen there; undefined when it can. Listens for a moment. */
export const bindError = ({ address, port }: Endpoint): Effect.Effect<string | undefined> =>
  Effect.callback((resume) => {
    const server = createServer()
    server.once("error", (error: NodeJS.ErrnoException) =>
      resume(Effect.succeed(reasons[error.code ?? ""] ?? error.message))
    )
    server.listen({ host: address, port, exclusive: true }, () => server.close(() => resume(Effect.succeed(undefined))))
    return Effect.sync(() => server.close())
  })
