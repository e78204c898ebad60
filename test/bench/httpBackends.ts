import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { tempDirectory } from "../support/tempDirectory.ts"
import { freePort } from "./freePort.ts"
import { awaitListening, program } from "./Program.ts"

const LISTEN_POLL_MS = 20

/** One nginx that answers every request with a few bytes, on so many ports. */
export const httpBackends = (count: number): Effect.Effect<ReadonlyArray<number>, never, Scope.Scope> =>
  Effect.gen(function* () {
    const directory = yield* tempDirectory
    const ports = yield* Effect.forEach(Array.from({ length: count }), () => Effect.promise(freePort))
    const path = join(directory, "nginx.conf")
    const temp = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(
      (name) => `${name}_temp_path ${directory}/${name};`
    )
    writeFileSync(
      path,
      `daemon off; master_process off; worker_rlimit_nofile 16384;
pid ${directory}/nginx.pid; error_log ${directory}/error.log;
events { worker_connections 8192; }
http {
  access_log off; keepalive_requests 1000000000; ${temp.join(" ")}
  server {
    ${ports.map((port) => `listen 127.0.0.1:${port} backlog=4096;`).join(" ")}
    location / { return 200 "well\\n"; }
  }
}
`
    )
    const child = yield* program("nginx", ["-p", directory, "-c", path], { stdio: ["ignore", "ignore", "pipe"] })
    yield* awaitListening(child, ports[0] ?? 0, LISTEN_POLL_MS)
    return ports
  })
