import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { fileURLToPath } from "node:url"
import { start as startAgent } from "../support/corrosion/AgentProcess.ts"
import { apiOf } from "../support/edgeApi.ts"
import { scratch, startEdge } from "../support/EdgeProcess.ts"
import { greet, serve } from "../support/tcp.ts"
import { greeted } from "./setup.ts"

const schema = fileURLToPath(new URL("../../docker/corrosion/schema/", import.meta.url))
const tables = ["backends", "edgeproxy_backend_state"].flatMap((name) => ["--schema", `${schema}${name}.sql`])

/** An agent that exchanges what it is told with the others. */
const agentOf = (peers: ReadonlyArray<{ readonly url: string }>) =>
  startAgent([...tables, "--tick-ms", "50", ...peers.flatMap(({ url }) => ["--peer", url])])

type Agent = Effect.Success<ReturnType<typeof agentOf>>

/** A POP: a proxy, and the agent beside it. */
const popOf = Effect.fnUntraced(function* (name: string, agent: Agent, cwd: string, listen = "127.0.0.1:0") {
  const edge = yield* startEdge({
    cwd,
    env: {
      POP_ID: name,
      LISTEN_ADDR: listen,
      REGION: "sa",
      CORROSION_ENABLED: "true",
      CORROSION_API_URL: agent.url,
      BACKEND_ALLOW_CIDRS: "127.0.0.0/8",
      HEARTBEAT_TTL_SECS: "30"
    }
  })
  return { name, agent, edge, api: yield* apiOf(edge) }
})

type Pop = Effect.Success<ReturnType<typeof popOf>>

const registration = (id: string, port: number) => ({ id, app: "shop", region: "sa", ip: "127.0.0.1", port })

/** A backend that says its name, registered at a POP. */
const register = Effect.fnUntraced(function* (id: string, { api }: Pop) {
  const server = yield* serve({ onPeer: greet(id) })
  const { status } = yield* api.call("POST", "/api/v1/register", registration(id, server.endpoint.port))
  assert.strictEqual(status, 201)
  return server
})

/** Waits until a POP knows a backend in this state; undefined for not at all. */
const knows = ({ api }: Pop, id: string, state: string | undefined) =>
  api.until(`/api/v1/backends/${id}`, ({ body, status }) =>
    state === undefined ? status === 404 : body["state"] === state
  )

/** The backend that a client of this address gets at a POP. */
const backendAt = ({ edge }: Pop, from: string) =>
  Effect.scoped(Effect.map(greeted(edge.address, { from }), ({ name }) => name))

describe("three POPs, each with an agent of its own", () => {
  it.live(
    "what registers at one takes traffic at all, drains at all, and outlives the POP that took it in and a partition",
    () =>
      Effect.gen(function* () {
        const agentA = yield* agentOf([])
        const agentB = yield* agentOf([agentA])
        const agentC = yield* agentOf([agentA, agentB])
        const directories = yield* Effect.all([scratch, scratch, scratch])
        const a = yield* popOf("gru", agentA, directories[0])
        const b = yield* popOf("fra", agentB, directories[1])
        const c = yield* popOf("nrt", agentC, directories[2])

        yield* register("one", a)
        yield* knows(a, "one", "active")
        assert.strictEqual(yield* backendAt(a, "127.0.3.1"), "one")
        const seen = yield* knows(c, "one", "active")
        assert.deepInclude(seen.body, { source: "api", owner: "gru" })
        assert.strictEqual(yield* backendAt(c, "127.0.3.1"), "one")

        // The POP that took it in is gone; the backend's next heartbeat goes to another one, which has it from now on.
        a.edge.signal("SIGKILL")
        yield* a.edge.exit
        assert.strictEqual(yield* backendAt(c, "127.0.3.2"), "one")
        assert.strictEqual((yield* b.api.call("POST", "/api/v1/heartbeat/one")).status, 200)
        yield* c.api.until("/api/v1/backends/one", ({ body }) => body["owner"] === "fra")

        yield* register("two", b)
        yield* knows(c, "two", "active")
        assert.strictEqual((yield* b.api.call("POST", "/api/v1/backends/one/drain")).status, 200)
        yield* knows(c, "one", "draining")
        for (const from of ["127.0.3.1", "127.0.3.2", "127.0.3.3"]) {
          assert.strictEqual(yield* backendAt(c, from), "two", `${from} is bound to what drains, or new`)
        }
        assert.strictEqual((yield* c.api.call("POST", "/api/v1/backends/one/undrain")).status, 200)
        yield* knows(b, "one", "active")

        // A partition: each side goes on with what it has, and takes in its own.
        yield* agentC.control({ do: "cut" })
        yield* register("three", b)
        yield* register("four", c)
        assert.strictEqual((yield* b.api.call("DELETE", "/api/v1/backends/two")).status, 200)
        assert.strictEqual((yield* c.api.call("GET", "/api/v1/backends/three")).status, 404)
        assert.strictEqual((yield* b.api.call("GET", "/api/v1/backends/four")).status, 404)
        yield* knows(c, "two", "active")
        yield* agentC.control({ do: "heal" })
        yield* knows(c, "three", "active")
        yield* knows(b, "four", "active")
        yield* knows(c, "two", undefined)

        // The POP comes back with what the others have learned since.
        const again = yield* popOf("gru", agentA, directories[0])
        yield* knows(again, "four", "active")
        const { body } = yield* again.api.call("GET", "/api/v1/backends")
        assert.strictEqual(body["total"], 3)
      }),
    60_000
  )

  it.live(
    "rows that a hostile one writes neither stop nor redirect the others",
    () =>
      Effect.gen(function* () {
        const agentA = yield* agentOf([])
        const agentB = yield* agentOf([agentA])
        // A port that was free a moment ago: where it listens must be known from the start.
        const { endpoint } = yield* Effect.scoped(serve())
        const b = yield* popOf("fra", agentB, yield* scratch, `127.0.0.1:${endpoint.port}`)
        yield* register("good", b)
        const put = (id: unknown, fields: Readonly<Record<string, unknown>>) => {
          const row: Readonly<Record<string, unknown>> = {
            app: "shop",
            region: "sa",
            wg_ip: "127.0.0.1",
            port: 80,
            healthy: 1,
            ...fields
          }
          return {
            query: `INSERT INTO backends (id, ${Object.keys(row).join(", ")}) VALUES (?${", ?".repeat(Object.keys(row).length)})`,
            params: [id, ...Object.values(row)]
          }
        }
        const hostile = [
          put("secrets", { wg_ip: "169.254.169.254" }),
          put("stranger", { wg_ip: "8.8.8.8" }),
          put("itself", { port: b.edge.address.port }),
          put("weight", { weight: 1e12 }),
          put("region", { region: "mars" }),
          put("port", { port: "DROP TABLE" }),
          put("\u001b[31m", {}),
          put("x".repeat(100_000), {}),
          put("blob", { app: [1, 2, 3] }),
          ...Array.from({ length: 500 }, (_, index) => put(`flood-${index}`, { wg_ip: "10.9.9.9", port: 0 }))
        ]
        yield* Effect.promise(async () => {
          const response = await fetch(`${agentA.url}/v1/transactions`, {
            method: "POST",
            body: JSON.stringify(hostile),
            headers: { "content-type": "application/json" }
          })
          assert.strictEqual(response.status, 200, await response.text())
        })
        const { body } = yield* b.api.until(
          "/api/v1/table",
          ({ body }) => Number(body["quarantined"]) >= hostile.length
        )
        assert.deepInclude(body, { backends: 1 })
        const list = yield* b.api.call("GET", "/api/v1/backends?state=quarantined&limit=1000")
        assert.include(JSON.stringify(list.body), "169.254.169.254")
        for (let host = 1; host <= 20; host++) assert.strictEqual(yield* backendAt(b, `127.0.4.${host}`), "good")
        // They can be cleaned up, and what is left is what was.
        yield* Effect.promise(() =>
          fetch(`${agentA.url}/v1/transactions`, {
            method: "POST",
            body: JSON.stringify(["DELETE FROM backends WHERE id <> 'good'"]),
            headers: { "content-type": "application/json" }
          })
        )
        yield* b.api.until("/api/v1/table", (answer) => answer.body["quarantined"] === 0)
        assert.strictEqual(yield* backendAt(b, "127.0.4.1"), "good")
      }),
    60_000
  )
})
