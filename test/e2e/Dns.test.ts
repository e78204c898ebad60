import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { spawn } from "node:child_process"
import * as dgram from "node:dgram"
import { writeFileSync } from "node:fs"
import { createServer } from "node:net"
import { join } from "node:path"
import type { Endpoint } from "../../src/traffic/Transport.ts"
import { freePort } from "../bench/freePort.ts"
import { question, readMessage } from "../support/dnsMessage.ts"
import { type EdgeProcess, scratch, spawnEdge } from "../support/EdgeProcess.ts"
import { parse } from "../support/exposition.ts"
import { checkMetrics, promtool } from "../support/promtool.ts"
import { runSql, type Row, rowOf } from "../support/routingDb.ts"
import { greet, serve } from "../support/tcp.ts"
import { pathOf } from "../support/tools.ts"
import * as Watch from "../support/Watch.ts"
import { greeted, startWith } from "./setup.ts"

const dig = pathOf("dig")
const kdig = pathOf("kdig")
const unbound = pathOf("unbound")
const dnsperf = pathOf("dnsperf")

const rows: ReadonlyArray<Row> = [
  { id: "br-1", app: "web", region: "sa", country: "BR", wg_ip: "10.0.0.1", port: 80, weight: 2 },
  { id: "ar-1", app: "web", region: "sa", country: "AR", wg_ip: "10.0.0.2", port: 80 },
  { id: "de-1", app: "web", region: "eu", country: "DE", wg_ip: "10.0.2.1", port: 80 },
  { id: "de-6", app: "web", region: "eu", country: "DE", wg_ip: "fd00::2:6", port: 80 },
  { id: "us-1", app: "pg", region: "us", country: "US", wg_ip: "10.0.1.1", port: 5_432 }
]

const on = {
  DNS_ENABLED: "true",
  DNS_LISTEN_ADDR: "127.0.0.1:0",
  DNS_RATE_LIMIT: "1000000",
  POPS: "sa=203.0.113.1|2001:db8::1,us=198.51.100.1",
  // The first is a place to ask for, the others to ask from.
  GEO_OVERRIDES: "203.0.113.0/24=DE,127.1.0.0/16=BR,127.3.0.0/16=DE"
}

const dnsOf = (edge: EdgeProcess): Effect.Effect<Endpoint> =>
  Effect.map(edge.log("DNS server"), (line) => {
    const text = String(line["address"])
    const colon = text.lastIndexOf(":")
    return { address: text.slice(0, colon).replaceAll(/[[\]]/g, ""), port: Number(text.slice(colon + 1)) }
  })

/** What a program prints. */
const output = (program: string, args: ReadonlyArray<string>): Effect.Effect<string> =>
  Effect.callback((resume) => {
    const child = spawn(program, args, { stdio: ["ignore", "pipe", "pipe"] })
    let text = ""
    for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk: Buffer) => void (text += chunk))
    child.once("close", () => resume(Effect.succeed(text)))
    return Effect.sync(() => void child.kill("SIGKILL"))
  })

const asker =
  (program: string, { address, port }: Endpoint) =>
  (...args: ReadonlyArray<string>) =>
    output(program, [`@${address}`, "-p", String(port), ...args])

const lines = (text: string): ReadonlyArray<string> => text.split("\n").filter((line) => line !== "")

describe("DNS", () => {
  it.live("is off unless it is asked for", () =>
    Effect.gen(function* () {
      const edge = yield* startWith(rows)
      yield* edge.stop
      assert.isFalse(edge.logs.some(({ message }) => message === "DNS server"))
    })
  )

  it.live("on a port that is taken is an error of the start", () =>
    Effect.gen(function* () {
      const server = createServer()
      yield* Effect.acquireRelease(
        Effect.callback<void>((resume) => void server.listen(0, "127.0.0.1", () => resume(Effect.void))),
        () => Effect.callback<void>((resume) => void server.close(() => resume(Effect.void)))
      )
      const bound = server.address()
      const port = typeof bound === "object" && bound !== null ? bound.port : 0
      const edge = yield* spawnEdge({
        env: {
          DNS_ENABLED: "true",
          DNS_LISTEN_ADDR: `127.0.0.1:${port}`,
          LISTEN_ADDR: "127.0.0.1:0",
          API_LISTEN_ADDR: "127.0.0.1:0"
        }
      })
      assert.deepStrictEqual(yield* edge.exit, { code: 1, signal: null })
      assert.include((yield* edge.log(({ level }) => level === "fatal")).message, `127.0.0.1:${port}`)
    })
  )

  it.live("with a zone too long for names below it is a configuration error", () =>
    Effect.gen(function* () {
      const label = "x".repeat(60)
      const edge = yield* spawnEdge({ env: { DNS_ENABLED: "true", DNS_DOMAIN: [label, label, label].join(".") } })
      assert.strictEqual((yield* edge.exit).code, 64)
      assert.include(edge.errorText(), "EDGEPROXY_DNS_DOMAIN")
    })
  )

  it.live.skipIf(dig === undefined)(
    "N1, N2: answers dig over UDP and TCP",
    () =>
      Effect.gen(function* () {
        const edge = yield* startWith(rows, on)
        const ask = asker(dig ?? "", yield* dnsOf(edge))
        const short = (...args: ReadonlyArray<string>) => Effect.map(ask("+short", ...args), lines)
        for (const over of ["+notcp", "+tcp"]) {
          assert.sameMembers([...(yield* short(over, "web.internal"))], ["10.0.0.1", "10.0.0.2", "10.0.2.1"])
          const near = yield* short(over, "web.internal", "-b", "127.3.0.1")
          assert.strictEqual(near[0], "10.0.2.1")
          assert.deepStrictEqual((yield* short(over, "web.internal", "+subnet=203.0.113.0/24"))[0], "10.0.2.1")
          assert.deepStrictEqual(yield* short(over, "web.internal", "AAAA"), ["fd00::2:6"])
          assert.deepStrictEqual(yield* short(over, "us.pg.internal"), ["10.0.1.1"])
          assert.deepStrictEqual(yield* short(over, "us-1.backends.internal"), ["10.0.1.1"])
          assert.deepStrictEqual(yield* short(over, "pops.internal"), ["203.0.113.1", "198.51.100.1"])
          assert.deepStrictEqual(yield* short(over, "_pg._tcp.internal", "SRV"), ["3 1 5432 us-1.backends.internal."])
          assert.deepStrictEqual(yield* short(over, "internal", "NS"), ["pops.internal."])
        }
        const full = yield* ask("WeB.InTeRnAl", "+subnet=203.0.113.0/24")
        assert.match(full, /status: NOERROR/)
        assert.match(full, /flags: qr aa rd;/)
        assert.match(full, /CLIENT-SUBNET: 203\.0\.113\.0\/24\/24/)
        assert.match(full, /COOKIE: [0-9a-f]{48} \(good\)/)
        assert.match(full, /WeB\.InTeRnAl\.\s+30\s+IN\s+A\s+10\.0\.2\.1/)
        assert.notMatch(full, /WARNING: Message/)
        assert.match(yield* ask("none.internal"), /status: NXDOMAIN[^]*AUTHORITY SECTION:\ninternal\.\s+30\s+IN\s+SOA/)
        assert.match(yield* ask("web.internal", "MX"), /status: NOERROR[^]*ANSWER: 0[^]*SOA/)
        assert.match(yield* ask("example.com"), /status: REFUSED/)
        assert.match(yield* ask("web.internal", "ANY"), /HINFO\s+"RFC8482" ""/)
        assert.match(yield* ask("internal", "AXFR"), /Transfer failed/)
        assert.match(yield* ask("web.internal", "+edns=1", "+noednsnegotiation"), /status: BADVERS/)
        assert.match(yield* ask("web.internal", "+opcode=UPDATE"), /status: NOTIMP/)
        assert.match(yield* ask("version.bind", "TXT", "CH"), /status: REFUSED/)

        // The table decides, as soon as it changes.
        runSql(edge.database, "UPDATE backends SET healthy = 0 WHERE id = 'br-1'")
        const gone = Effect.map(short("web.internal"), (found) => !found.includes("10.0.0.1"))
        yield* Effect.repeat(gone, { until: (is) => is, times: 200 })
        assert.isTrue(yield* gone)
        assert.strictEqual((yield* edge.stop).code, 0)
      }),
    60_000
  )

  it.live.skipIf(kdig === undefined)(
    "answers kdig, with a cookie that it keeps, over one TCP connection",
    () =>
      Effect.gen(function* () {
        const edge = yield* startWith(rows, on)
        const ask = asker(kdig ?? "", yield* dnsOf(edge))
        const twice = yield* ask("+cookie", "web.internal", "A", "+cookie", "_web._tcp.internal", "SRV")
        assert.notMatch(twice, /WARNING|;; ERROR/)
        assert.lengthOf(twice.match(/status: NOERROR/g) ?? [], 2)
        const kept = yield* ask("+keepopen", "+tcp", "web.internal", "A", "web.internal", "AAAA", "none.internal")
        assert.notMatch(kept, /WARNING|;; ERROR/)
        assert.include(kept, "fd00::2:6")
        assert.include(kept, "NXDOMAIN")
        assert.match(yield* ask("+subnet=203.0.113.0/24", "web.internal"), /CLIENT.SUBNET: 203\.0\.113\.0\/24\/24/i)
      }),
    40_000
  )

  it.live.skipIf(unbound === undefined || dig === undefined)(
    "serves a resolver that others wrote, which forwards the zone and remembers for the TTL",
    () =>
      Effect.gen(function* () {
        const edge = yield* startWith(rows, on)
        const { address, port } = yield* dnsOf(edge)
        const directory = yield* scratch
        const own = yield* Effect.promise(freePort)
        const config = join(directory, "unbound.conf")
        writeFileSync(
          config,
          `server:
  interface: 127.0.0.1@${own}
  port: ${own}
  do-daemonize: no
  username: ""
  chroot: ""
  directory: "${directory}"
  pidfile: ""
  logfile: ""
  verbosity: 1
  do-not-query-localhost: no
  use-caps-for-id: yes
  qname-minimisation: yes
  harden-below-nxdomain: yes
  rrset-roundrobin: no
  domain-insecure: "internal"
  local-zone: "internal." nodefault
  module-config: "iterator"
forward-zone:
  name: "internal"
  forward-addr: ${address}@${port}
remote-control:
  control-enable: no
`
        )
        const watch = Watch.make()
        let said = ""
        const child = yield* Effect.acquireRelease(
          Effect.sync(() => spawn(unbound ?? "", ["-d", "-c", config], { stdio: ["ignore", "pipe", "pipe"] })),
          (child) => Effect.sync(() => void child.kill("SIGKILL"))
        )
        for (const stream of [child.stdout, child.stderr]) {
          stream.on("data", (chunk: Buffer) => {
            said += chunk.toString()
            watch.touch()
          })
        }
        yield* watch.until(
          () => `start of unbound: ${said}`,
          () => said.includes("start of service")
        )
        const ask = asker(dig ?? "", { address: "127.0.0.1", port: own })
        const web = yield* ask("web.internal")
        assert.match(web, /status: NOERROR/)
        assert.include(web, "10.0.0.1")
        assert.include(yield* ask("web.internal", "AAAA"), "fd00::2:6")
        assert.include(yield* ask("_web._tcp.internal", "SRV"), "br-1.backends.internal.")
        assert.include(yield* ask("br-1.backends.internal"), "10.0.0.1")
        assert.match(yield* ask("none.internal"), /status: NXDOMAIN/)
        assert.match(yield* ask("web.internal", "TXT"), /status: NOERROR[^]*ANSWER: 0/)
        assert.match(yield* ask("eu.web.internal"), /status: NOERROR[^]*10\.0\.2\.1/)
        // From its memory: the server is gone.
        yield* edge.stop
        assert.include(yield* ask("web.internal"), "10.0.0.1")
        assert.match(yield* ask("none.internal"), /status: NXDOMAIN/)
      }),
    60_000
  )

  it.live.skipIf(process.platform !== "linux")(
    "is handed over with its sockets: no question is lost",
    () =>
      Effect.gen(function* () {
        const own = yield* Effect.promise(freePort)
        const edge = yield* startWith(rows, { ...on, DNS_LISTEN_ADDR: `127.0.0.1:${own}` })
        const { address, port } = yield* dnsOf(edge)
        const watch = Watch.make()
        const answered = new Set<number>()
        const socket = yield* Effect.acquireRelease(
          Effect.sync(() => dgram.createSocket("udp4")),
          (socket) => Effect.sync(() => socket.close())
        )
        socket.on("message", (message) => {
          answered.add(readMessage(message).id)
          watch.touch()
        })
        let asked = 0
        const ask = Effect.sync(() => socket.send(question("web.internal", { id: ++asked }), port, address))
        const asking = yield* ask.pipe(Effect.andThen(Effect.sleep(5)), Effect.forever, Effect.forkScoped)
        yield* edge.log("API endpoint")
        edge.signal("SIGUSR2")
        const { pid } = yield* edge.log("handed over")
        yield* Effect.addFinalizer(() => Effect.sync(() => void process.kill(Number(pid), "SIGKILL")))
        yield* edge.log("drained")
        const before = asked
        yield* watch.until("answers of the successor", () => answered.has(before + 20))
        yield* Fiber.interrupt(asking)
        yield* watch.until("all answers", () => answered.size === asked)
      }),
    60_000
  )

  it.live(
    "holds back a network that asks too much, says so once, and counts it",
    () =>
      Effect.gen(function* () {
        const edge = yield* startWith(rows, {
          ...on,
          DNS_RATE_LIMIT: "50",
          METRICS_ENABLED: "true",
          METRICS_LISTEN_ADDR: "127.0.0.1:0"
        })
        const { address, port } = yield* dnsOf(edge)
        const watch = Watch.make()
        let answered = 0
        let cut = 0
        const socket = yield* Effect.acquireRelease(
          Effect.sync(() => dgram.createSocket("udp4")),
          (socket) => Effect.sync(() => socket.close())
        )
        socket.on("message", (message) => {
          if (readMessage(message).tc) cut++
          else answered++
          watch.touch()
        })
        for (let id = 0; id < 400; id++) socket.send(question("web.internal", { id }), port, address)
        yield* watch.until("answers that are cut", () => cut > 100)
        assert.isAtLeast(answered, 50)
        assert.isBelow(answered, 150)
        yield* edge.log((line) => line.message.startsWith("answers held back"))
        const metrics = String((yield* edge.log("metrics endpoint"))["address"])
        const page = yield* Effect.promise(() => fetch(`http://${metrics}/metrics`).then((response) => response.text()))
        const read = parse(page)
        assert.strictEqual(read.value("edgeproxy_dns_questions_total", { over: "udp", type: "A" }), 400)
        assert.strictEqual(read.value("edgeproxy_dns_answers_total", { over: "udp", rcode: "NOERROR" }), answered)
        assert.strictEqual(read.value("edgeproxy_dns_slipped_total"), cut)
        assert.strictEqual(read.value("edgeproxy_dns_dropped_total", { reason: "limited" }), 400 - answered - cut)
        assert.closeTo(cut, (400 - answered) / 2, 1)
        if (promtool !== undefined) assert.strictEqual(checkMetrics(promtool, page), "")
      }),
    40_000
  )

  it.live.skipIf(dnsperf === undefined)(
    "answers thousands of questions each second while connections are made",
    () =>
      Effect.gen(function* () {
        const server = yield* serve({ onPeer: greet("there") })
        const edge = yield* startWith([rowOf("b1", server), ...rows], on)
        const { address, port } = yield* dnsOf(edge)
        const data = join(yield* scratch, "questions")
        writeFileSync(
          data,
          "web.internal A\nweb.internal AAAA\n_web._tcp.internal SRV\nnone.internal A\npops.internal A\n"
        )
        const args = ["-s", address, "-p", String(port), "-d", data, "-l", "3", "-c", "4", "-q", "100"]
        const perf = yield* Effect.forkScoped(output(dnsperf ?? "", args))
        const delays: Array<number> = []
        for (let made = 0; made < 100; made++) {
          const before = performance.now()
          yield* Effect.scoped(greeted(edge.address))
          delays.push(performance.now() - before)
        }
        const text = yield* Fiber.join(perf)
        const perSecond = Number(/Queries per second:\s+([\d.]+)/.exec(text)?.[1])
        // A tenth of what an idle machine does: this is no benchmark, but nothing may stand still.
        assert.isAbove(perSecond, 2_000, text)
        assert.match(text, /NOERROR/)
        const sorted = delays.toSorted((a, b) => a - b)
        assert.isBelow(sorted[50] ?? Infinity, 100)
      }),
    40_000
  )
})
