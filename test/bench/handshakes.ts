import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"
import { mkdtempSync, rmSync } from "node:fs"
import * as http from "node:http"
import * as net from "node:net"
import { loadavg, tmpdir } from "node:os"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import * as tls from "node:tls"
import { bundle } from "../support/EdgeProcess.ts"
import { createDatabase } from "../support/routingDb.ts"
import { freePort } from "./freePort.ts"

/**
 * What a flood of TLS handshakes costs everybody else: `node test/bench/handshakes.ts [per second]`, after a build. Health
 * checks and a plain connection's round trips are timed here, the control loop by itself, the flood comes from a process of
 * its own; each phase with and without it, by turns.
 */

const SECONDS = 10
const ROUNDS = 3

const percentile = (values: ReadonlyArray<number>, share: number): number =>
  Array.from(values).sort((a, b) => a - b)[Math.floor(share * (values.length - 1))] ?? Number.NaN

/** Every handshake is a whole one, of TLS 1.3 with P-256, and its connection is routed and closed. */
const flood = (port: number, perSecond: number): void => {
  let done = 0
  let failed = 0
  let due = 0
  const startedAt = performance.now()
  setInterval(() => {
    for (; due < ((performance.now() - startedAt) * perSecond) / 1_000; due++) {
      const socket = tls.connect({ host: "127.0.0.1", port, rejectUnauthorized: false, ecdhCurve: "P-256" }, () => {
        done++
        socket.end()
      })
      socket.on("error", () => failed++)
      socket.resume()
    }
  }, 5)
  process.on("message", () => process.send?.({ done, failed, ms: performance.now() - startedAt }))
}

const probe = `import { monitorEventLoopDelay } from "node:perf_hooks"
const delay = monitorEventLoopDelay({ resolution: 1 })
process.on("message", (message) => {
  if (message === "start") { delay.reset(); delay.enable() }
  else { delay.disable(); process.send([delay.percentile(50), delay.percentile(99)].map((ns) => ns / 1e6 - 1)) }
})
process.channel?.unref()`

const ask = async <A>(child: ChildProcess, message: string): Promise<A> => {
  const answer = once(child, "message")
  child.send(message)
  // What the child is known to answer.
  return (await answer)[0] as A
}

/** One round trip after the other, 2 ms apart, as long as it may. */
const roundTrips = async (port: number, times: Array<number>, until: number): Promise<void> => {
  const socket = net.connect({ host: "127.0.0.1", port, noDelay: true })
  while (performance.now() < until) {
    const sentAt = performance.now()
    socket.write("x")
    await once(socket, "data")
    times.push(performance.now() - sentAt)
    await sleep(2)
  }
  socket.destroy()
}

const measure = async (perSecond: number): Promise<void> => {
  const directory = mkdtempSync(join(tmpdir(), "edgeproxy-bench-"))
  const checks: Array<number> = []
  // A check as its backend sees it: from the connection to the end of it, which the proxy makes when it has the answer.
  const health = http.createServer((_, response) => void response.setHeader("connection", "close").end("ok"))
  const backend = net.createServer((socket) => {
    const begunAt = performance.now()
    socket.on("error", () => undefined)
    socket.once("data", (first) => {
      if (!first.toString("latin1").startsWith("GET")) {
        socket.write(first)
        return void socket.pipe(socket)
      }
      socket.once("close", () => checks.push(performance.now() - begunAt))
      socket.unshift(first)
      health.emit("connection", socket)
    })
  })
  await once(backend.listen(0, "127.0.0.1"), "listening")
  const { port: at } = backend.address() as net.AddressInfo
  createDatabase(
    join(directory, "routing.db"),
    Array.from({ length: 10 }, (_, index) => ({
      id: `b${index}`,
      app: "a",
      region: "sa",
      wg_ip: "127.0.0.1",
      port: at
    }))
  )
  const [plain, secure, api] = [await freePort(), await freePort(), await freePort()]
  const edge = spawn(process.execPath, ["--import", `data:text/javascript,${encodeURIComponent(probe)}`, bundle], {
    stdio: ["ignore", "ignore", "ignore", "ipc"],
    env: {
      ...process.env,
      EDGEPROXY_DB_PATH: join(directory, "routing.db"),
      EDGEPROXY_REGION: "sa",
      EDGEPROXY_LISTEN_ADDR: `127.0.0.1:${plain}`,
      EDGEPROXY_API_LISTEN_ADDR: `127.0.0.1:${api}`,
      EDGEPROXY_TLS_ENABLED: "true",
      EDGEPROXY_TLS_LISTEN_ADDR: `127.0.0.1:${secure}`,
      EDGEPROXY_HEALTH_CHECK_ENABLED: "true",
      EDGEPROXY_HEALTH_CHECK_TYPE: "http",
      EDGEPROXY_HEALTH_CHECK_INTERVAL_SECS: "0.1"
    }
  })
  try {
    while ((await fetch(`http://127.0.0.1:${api}/ready`).catch(() => undefined))?.status !== 200) await sleep(50)
    const phases = Array.from({ length: ROUNDS }, () => [0, perSecond]).flat()
    for (const [index, rate] of [perSecond, ...phases].entries()) {
      const env = { ...process.env, FLOOD_PORT: `${secure}` }
      const flooding =
        rate === 0
          ? undefined
          : spawn(process.execPath, [import.meta.filename, `${rate}`], {
              stdio: ["ignore", "ignore", "inherit", "ipc"],
              env
            })
      await sleep(1_000)
      const trips: Array<number> = []
      checks.length = 0
      edge.send("start")
      await roundTrips(plain, trips, performance.now() + SECONDS * 1_000)
      const loop = await ask<ReadonlyArray<number>>(edge, "stop")
      const done =
        flooding === undefined ? undefined : await ask<{ done: number; failed: number; ms: number }>(flooding, "stop")
      flooding?.kill()
      // The first is a warm-up.
      if (index === 0) continue
      const both = (values: ReadonlyArray<number>) =>
        [0.5, 0.99].map((share) => percentile(values, share).toFixed(2)).join(" / ")
      const rateText =
        done === undefined ? "none" : `${Math.round((done.done * 1_000) / done.ms)}/s, ${done.failed} failed`
      console.log(
        `handshakes ${rateText}; p50 / p99 in ms: loop ${loop.map((ms) => Math.max(0, ms).toFixed(2)).join(" / ")}, ` +
          `check ${both(checks)} (${checks.length}), round trip ${both(trips)} (${trips.length}); load ${loadavg()[0]?.toFixed(1)}`
      )
    }
  } finally {
    edge.kill()
    backend.close()
    rmSync(directory, { recursive: true, force: true })
  }
}

const perSecond = Number(process.argv[2] ?? "300")
const { FLOOD_PORT: floodPort } = process.env
if (floodPort === undefined) {
  await measure(perSecond)
  process.exit()
} else flood(Number(floodPort), perSecond)
