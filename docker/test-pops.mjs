import http from "node:http"

// Asserts what three POPs and nine backends promise together; exits non-zero when a promise is broken. The addresses are
// those of docker/compose.yaml, where this runs as the service `test`; `npm run pops` runs it without Docker.
//   test-pops.mjs             routing, affinity, geography, drain, replication of registrations
//   test-pops.mjs lost ID...  these backends are gone: everybody is served, by others
const prefix = process.env.POPS_PREFIX ?? "10.10"
const token = process.env.POPS_TOKEN ?? ""
const pops = [
  { region: "sa", address: `${prefix}.0.10`, country: "BR", client: "200.160.0.8" },
  { region: "us", address: `${prefix}.0.11`, country: "US", client: "8.8.8.8" },
  { region: "eu", address: `${prefix}.0.12`, country: "DE", client: "85.214.132.117" }
]
// How long a change may take from one POP to the others: a subscription, or the interval of polling.
const SPREAD_MS = 15_000

let passed = 0
let failed = 0

const check = async (name, test) => {
  try {
    await test()
    passed++
    console.log(`ok    ${name}`)
  } catch (error) {
    failed++
    console.log(`FAIL  ${name}: ${error instanceof Error ? error.message : error}`)
  }
}

const must = (holds, message) => {
  if (!holds) throw new Error(message)
}

/** One connection of its own; a reset, a refusal or silence is an error. */
const get = (address, port, path, { body, headers = {}, method = "GET" } = {}) =>
  new Promise((resolve, reject) => {
    const request = http.request(
      { host: address, port, path, method, headers, agent: false, timeout: 5000 },
      (response) => {
        let text = ""
        response.setEncoding("utf8")
        response.on("data", (chunk) => (text += chunk))
        response.on("end", () => resolve({ status: response.statusCode, text }))
        response.on("error", reject)
      }
    )
    request.on("timeout", () => request.destroy(new Error(`no answer from ${address}:${port} within 5 s`)))
    request.on("error", reject)
    request.end(body)
  })

/** Who serves a client at this POP. */
const served = async ({ address }) => {
  const { status, text } = await get(address, 8080, "/api/info")
  must(status === 200, `status ${status}`)
  return JSON.parse(text)
}

const api = async ({ address }, method, path, body) => {
  const { status, text } = await get(address, 8081, path, {
    method,
    headers: {
      authorization: `Bearer ${token}`,
      ...(body === undefined ? {} : { "content-type": "application/json" })
    },
    body: body === undefined ? undefined : JSON.stringify(body)
  })
  return { status, body: text === "" ? {} : JSON.parse(text) }
}

const eventually = async (what, holds, ms = SPREAD_MS) => {
  const deadline = Date.now() + ms
  let last = ""
  while (Date.now() < deadline) {
    try {
      if (await holds()) return
    } catch (error) {
      last = `: ${error instanceof Error ? error.message : error}`
    }
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
  throw new Error(`not within ${ms / 1000} s: ${what}${last}`)
}

const stateOf = async (pop, id) => {
  const { body, status } = await api(pop, "GET", `/api/v1/backends/${id}`)
  return status === 200 ? body.state : undefined
}

const everyPop = async () => {
  for (const pop of pops) {
    await check(`${pop.region}: is ready, with all backends`, () =>
      eventually(
        "ready",
        async () => {
          const { status } = await get(pop.address, 8081, "/ready")
          const { body } = await api(pop, "GET", "/api/v1/backends")
          return status === 200 && body.total >= 9
        },
        60_000
      )
    )
    await check(
      `${pop.region}: a client of unknown country is served in the POP's region, again and again by one`,
      async () => {
        const first = await served(pop)
        must(first.region === pop.region, `served by ${first.id} of ${first.region}`)
        for (let again = 0; again < 20; again++) {
          const { id } = await served(pop)
          must(id === first.id, `${first.id}, then ${id}`)
        }
      }
    )
    for (const { client, country, region } of pops) {
      await check(`${pop.region}: would send a client from ${country} to ${region}`, async () => {
        const { body, status } = await api(pop, "GET", `/api/v1/explain?ip=${client}`)
        must(status === 200, `status ${status}`)
        must(body.client.country === country, `thinks it is in ${body.client.country}`)
        must(body.choice.backend?.startsWith(`${region}-node-`), `to ${body.choice.backend}`)
      })
    }
  }

  const [sa, us, eu] = pops
  await check("what one POP drains, all of them leave, and no client notices", async () => {
    const { id } = await served(sa)
    const drained = await api(us, "POST", `/api/v1/backends/${id}/drain`)
    must(drained.status === 200, `drain: ${drained.status} ${JSON.stringify(drained.body)}`)
    try {
      for (const pop of pops)
        await eventually(`draining at ${pop.region}`, async () => (await stateOf(pop, id)) === "draining")
      for (let client = 0; client < 20; client++) {
        const now = await served(sa)
        must(now.id !== id, `still served by ${id}`)
        must(now.region === "sa", `served by ${now.id}`)
      }
    } finally {
      await api(us, "POST", `/api/v1/backends/${id}/undrain`)
    }
    for (const pop of pops)
      await eventually(`active at ${pop.region}`, async () => (await stateOf(pop, id)) === "active")
  })

  await check("what registers at one POP is known at all, and forgotten by all", async () => {
    const id = "registered-node"
    const made = await api(eu, "POST", "/api/v1/register", {
      id,
      app: "myapp",
      region: "eu",
      ip: `${prefix}.3.1`,
      port: 8080
    })
    must(made.status === 201 || made.status === 200, `register: ${made.status} ${JSON.stringify(made.body)}`)
    for (const pop of pops)
      await eventually(`known at ${pop.region}`, async () => (await stateOf(pop, id)) !== undefined)
    await api(eu, "DELETE", `/api/v1/backends/${id}`)
    for (const pop of pops)
      await eventually(`gone at ${pop.region}`, async () => (await stateOf(pop, id)) === undefined)
  })

  // Loopback may, with or without.
  if (!prefix.startsWith("127."))
    await check("nobody without a token writes", async () => {
      const { status } = await get(sa.address, 8081, "/api/v1/backends/sa-node-1/drain", { method: "POST" })
      must(status === 401 || status === 403, `status ${status}`)
    })
}

const withoutThem = async (ids) => {
  for (const pop of pops) {
    await check(`${pop.region}: everybody is served without ${ids.join(", ")}`, async () => {
      for (let client = 0; client < 30; client++) {
        const { id, region } = await served(pop)
        must(!ids.includes(id), `served by ${id}`)
        must(region === pop.region, `served by ${id} of ${region}`)
      }
    })
  }
}

const [phase, ...ids] = process.argv.slice(2)
await (phase === "lost" ? withoutThem(ids) : everyPop())
console.log(`${passed} passed, ${failed} failed`)
process.exitCode = failed === 0 ? 0 : 1
