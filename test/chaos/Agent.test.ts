import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { start } from "../support/corrosion/AgentProcess.ts"
import { transact } from "../support/corrosion/talk.ts"
import { scratch } from "../support/EdgeProcess.ts"
import type { Row } from "../support/routingDb.ts"
import { chaosBackend } from "./chaosBackend.ts"
import { atRest, engines, mishaps, patience, proxyEnds, rounds, scene, timed } from "./scene.ts"
import { load, upTo } from "./visit.ts"

const schema = fileURLToPath(new URL("../../docker/corrosion/schema/", import.meta.url))
const tables = ["backends", "edgeproxy_backend_state"].flatMap((name) => ["--schema", `${schema}${name}.sql`])

/** Writes the row at the agent, new or not; dies when that is refused. */
const put = Effect.fnUntraced(function* (url: string, row: Row) {
  const names = Object.keys(row)
  const { body, status } = yield* transact(url, [
    `INSERT INTO backends (${names.join(", ")}) VALUES (${names.map(() => "?").join(", ")})
     ON CONFLICT (id) DO UPDATE SET weight = excluded.weight`,
    Object.values(row)
  ])
  if (status !== 200) return yield* Effect.die(new Error(`HTTP ${status}: ${body}`))
})

for (const engine of engines) {
  describe(`the Corrosion agent, engine ${engine}`, () => {
    it.live(
      "killed with -9 and restarted under load costs no client anything, and what changes then is seen",
      () =>
        Effect.gen(function* () {
          const db = join(yield* scratch, "agent.db")
          const launch = (port: string) => start([...tables, "--tick-ms", "50", "--db", db, "--port", port])
          let agent = yield* launch("0")
          const { port } = new URL(agent.url)
          const all = yield* Effect.forEach(["a", "b"], (name) => chaosBackend(name))
          const late = yield* chaosBackend("late")
          const play = yield* scene(
            engine,
            all.map(({ row }) => row({ weight: 1 })),
            { CORROSION_ENABLED: "true", CORROSION_API_URL: agent.url, BACKEND_ALLOW_CIDRS: "127.0.0.0/8" },
            { publish: (rows) => Effect.forEach(rows, (row) => put(agent.url, row), { discard: true }) }
          )
          const clients = yield* load(play.edge.address)
          for (const _ of upTo(rounds)) {
            const from = play.edge.logs.length
            yield* agent.kill("SIGKILL")
            yield* play.edge.log("source lost", from)
            yield* clients.more(30)
            agent = yield* launch(port)
            yield* timed(`${engine}: the agent is back`, play.edge.log("source is back", from))
            yield* put(agent.url, late.row({ weight: 1 }))
            yield* timed(`${engine}: a backend that is new at the agent serves`, clients.servedBy("late"))
            const tableFrom = play.edge.logs.length
            yield* put(agent.url, late.row({ weight: 0 }))
            yield* play.edge.log("routing table", tableFrom)
          }
          assert.deepStrictEqual(mishaps(yield* clients.stop), {})
          assert.deepStrictEqual(proxyEnds(play.edge), [])
          yield* atRest(play, /source lost/)
        }),
      patience
    )
  })
}
