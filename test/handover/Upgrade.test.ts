import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { execFileSync } from "node:child_process"
import { cpSync, readFileSync, symlinkSync } from "node:fs"
import { join } from "node:path"
import { greeted } from "../e2e/setup.ts"
import { bundleDirectory, scratch, startEdge } from "../support/EdgeProcess.ts"
import * as outsiders from "../support/outsiders.ts"
import { createDatabase, rowOf } from "../support/routingDb.ts"
import { greet, serve } from "../support/tcp.ts"

const guide = readFileSync(new URL("../../docker/README.md", import.meta.url), "utf8")

describe.skipIf(process.platform !== "linux")("the upgrade that the guide describes", () => {
  it.live("harms nobody: the old process goes on until the new one has taken over", () =>
    Effect.gen(function* () {
      const directory = yield* scratch
      const server = yield* serve({ onPeer: greet("a") })
      const database = join(directory, "routing.db")
      createDatabase(database, [rowOf("a", server)])
      cpSync(bundleDirectory, join(directory, "opt/dist"), { recursive: true })
      symlinkSync(bundleDirectory, join(directory, "next"))
      const edge = yield* startEdge({
        bundle: join(directory, "opt/dist/edgeproxy.js"),
        env: { DB_PATH: database, TRANSPORT: "splice", LISTEN_ADDR: `127.0.0.1:${yield* outsiders.port}` }
      })
      const [, commands = ""] = /A new version[^`]*```sh\n(.*?)systemctl reload edgeproxy\n```/s.exec(guide) ?? []
      const script = commands.replaceAll("/opt/edgeproxy", join(directory, "opt")).replaceAll("-r dist ", "-rL next ")
      // Twice: the second one finds what the first one has left.
      execFileSync("sh", ["-ec", script + script], { cwd: directory })
      assert.strictEqual((yield* Effect.scoped(greeted(edge.address))).name, "a")
      edge.signal("SIGUSR2")
      const { pid } = yield* edge.log("handed over")
      yield* Effect.addFinalizer(() => Effect.sync(() => process.kill(Number(pid), "SIGKILL")))
      yield* edge.log("drained")
      assert.strictEqual((yield* Effect.scoped(greeted(edge.address))).name, "a")
    })
  )
})
