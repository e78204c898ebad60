import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { readFileSync } from "node:fs"
import { engines, patience } from "../chaos/scene.ts"
import { seededBytes, sha256 } from "../support/bytes.ts"
import { type Container, container, image, imageRoot, mockBackend, noContainers } from "../support/container.ts"
import { connect, greet, serve } from "../support/tcp.ts"

const why = noContainers === undefined ? "" : ` (skipped: ${noContainers})`

const TOKEN = "a-token-of-the-test-0123456789"
const program = image.entrypoint.slice(0, 2)

/** A container that has a backend here in its table, put there as an operator would. */
const running = Effect.fnUntraced(function* (
  env: Readonly<Record<string, string>> = {},
  startedBy?: Parameters<typeof container>[1]
) {
  const own = { DB_RELOAD_SECS: "0.1", API_TOKEN: TOKEN, OVERLOAD_LOOP_DELAY_MS: "5000" }
  const made = yield* container({ ...own, ...env }, startedBy)
  const server = yield* serve({ host: made.outside, onPeer: greet("a") })
  const { address, port } = server.endpoint
  const added = made.exec(...program, "backends", "add", "a", "--region", "sa", "--ip", address, "--port", String(port))
  assert.strictEqual(added.code, 0, added.stderr)
  yield* made.edge.log(({ message, ...line }) => message === "routing table" && line["backends"] === 1)
  return { ...made, server }
})

/** A client that has been greeted. */
const client = Effect.fnUntraced(function* ({ traffic }: Container) {
  const peer = yield* connect(traffic)
  yield* peer.awaitText("a\n")
  return peer
})

/** Sends bytes through the proxy to the backend, which gives them back, and ends. */
const finish = Effect.fnUntraced(function* (peer: Effect.Success<ReturnType<typeof client>>) {
  const bytes = seededBytes(1, 1_000_000)
  yield* peer.send(bytes)
  yield* peer.finish
  yield* peer.awaitFin
  assert.strictEqual(peer.sha256(), sha256(Buffer.concat([Buffer.from("a\n"), bytes])))
})

const refused = ({ traffic }: Container) =>
  connect(traffic).pipe(Effect.match({ onFailure: ({ code }) => code, onSuccess: () => "accepted" }), Effect.scoped)

const statusOf = (pid: number): Readonly<Record<string, string>> =>
  Object.fromEntries(
    readFileSync(`/proc/${pid}/status`, "utf8")
      .split("\n")
      .map((line) => line.split(/:\s+/, 2))
  )

const NOTHING = "0".repeat(16)

describe.skipIf(noContainers !== undefined)(
  `as first process of a container, read-only, without privileges and without a shell${why}`,
  () => {
    it.live.each(engines)(
      "serves, engine %s, and has made no process",
      (TRANSPORT) =>
        Effect.gen(function* () {
          const one = yield* running({ TRANSPORT })
          const status = statusOf(one.pid)
          assert.match(status["NSpid"] ?? "", /\s1$/)
          assert.strictEqual(status["Uid"], Array(4).fill(image.user).join("\t"))
          assert.strictEqual(status["Groups"]?.trim(), "")
          for (const set of ["Inh", "Prm", "Eff", "Bnd", "Amb"]) assert.strictEqual(status[`Cap${set}`], NOTHING)
          assert.strictEqual(status["NoNewPrivs"], "1")
          const writable = readFileSync(`/proc/${one.pid}/mountinfo`, "utf8")
            .split("\n")
            .map((line) => line.split(" "))
            .filter(([, , , , , options = "ro"]) => options.split(",").includes("rw"))
            .map(([, , , , place]) => place)
          assert.includeMembers(["/data", "/proc"], writable)
          // Not there, or not to be executed.
          assert.oneOf(one.exec("sh", "-c", "exit 0").code, [126, 127])

          yield* finish(yield* client(one))
          yield* one.edge.entryCount(1)
          const [health = "", ...args] = image.healthcheck
          assert.strictEqual(one.exec(health, ...args).code, 0)
          assert.strictEqual(one.exec(...program, "health", "--ready").code, 0)
          assert.deepStrictEqual(one.children(), [])
          // The database of countries is as old as the package.
          const trouble = one.edge.logs.filter(({ level, service }) => level !== "info" && service !== "geo")
          assert.deepStrictEqual(trouble, [])
          assert.strictEqual(one.edge.errorText(), "")
        }).pipe(Effect.scoped),
      patience
    )

    it.live(
      "is unhealthy when it does not answer, and healthy again when it does",
      () =>
        Effect.gen(function* () {
          const one = yield* running()
          one.signal("SIGSTOP")
          // By itself: whoever is killed for being late tells nobody why.
          const { code, stderr } = one.exec(...image.healthcheck)
          assert.strictEqual(code, 1)
          assert.include(stderr, "no answer")
          one.signal("SIGCONT")
          assert.strictEqual(one.exec(...image.healthcheck).code, 0)
        }).pipe(Effect.scoped),
      patience
    )

    it.live.each(["SIGTERM", "SIGINT"] as const)(
      "%s: who is connected is served to the end, then it ends with 0",
      (signal) =>
        Effect.gen(function* () {
          const one = yield* running()
          const peer = yield* client(one)
          one.signal(signal)
          yield* one.edge.log("listeners closed")
          assert.strictEqual(yield* refused(one), "ECONNREFUSED")
          const ready = yield* Effect.promise(() => fetch(`${one.url}/ready`))
          assert.strictEqual(ready.status, 503)
          yield* finish(peer)
          assert.deepStrictEqual(yield* one.edge.exit, { code: 0, signal: null })
          assert.deepInclude(one.edge.logs.at(-1), { message: "drained", drained: 1, forced: 0 })
        }).pipe(Effect.scoped),
      patience
    )

    it.live(
      "a second SIGTERM ends it at once, with 0; SIGHUP before does not end it",
      () =>
        Effect.gen(function* () {
          const one = yield* running()
          const peer = yield* client(one)
          one.signal("SIGHUP")
          yield* finish(yield* client(one))
          one.signal("SIGTERM")
          yield* one.edge.log("listeners closed")
          one.signal("SIGTERM")
          assert.strictEqual(yield* peer.awaitClosed, "ECONNRESET")
          assert.deepStrictEqual(yield* one.edge.exit, { code: 0, signal: null })
          assert.deepInclude(one.edge.logs.at(-1), { message: "forced", drained: 0, forced: 1 })
        }).pipe(Effect.scoped),
      patience
    )

    const inits = [
      ["as first process", undefined],
      // A shell, as it is called, does what those do: it ends with the one program that it has started.
      ["behind an init", { place: "/sbin/docker-init", from: "/bin/sh", args: ["-c", '"$@"; exit $?', "init"] }]
    ] as const
    it.live.each(inits.slice(0, imageRoot === undefined ? 2 : 1))(
      "SIGUSR2 %s: no handover, since the container would end with it",
      ([, init]) =>
        Effect.gen(function* () {
          const one = yield* running({}, init)
          const peer = yield* client(one)
          const own = init === undefined ? one.pid : Number(one.children()[0])
          process.kill(own, "SIGUSR2")
          const line = yield* one.edge.log("no handover; this process goes on")
          assert.match(line.message, /container/)
          assert.strictEqual((yield* Effect.promise(() => fetch(`${one.url}/ready`))).status, 200)
          yield* finish(peer)
          process.kill(own, "SIGTERM")
          assert.deepStrictEqual(yield* one.edge.exit, { code: 0, signal: null })
        }).pipe(Effect.scoped),
      patience
    )

    it.live("the mock backend serves as well, and ends with 0", () =>
      Effect.gen(function* () {
        const { edge, signal, traffic } = yield* mockBackend({ ID: "m1", REGION: "eu" })
        const text = yield* Effect.promise(async () => (await fetch(`http://${traffic.address}:8080/health`)).text())
        assert.strictEqual(text, "OK - m1 (eu)")
        signal("SIGTERM")
        assert.deepStrictEqual(yield* edge.exit, { code: 0, signal: null })
      }).pipe(Effect.scoped)
    )
  }
)
