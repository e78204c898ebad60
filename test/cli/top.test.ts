import { assert, describe, it } from "@effect/vitest"
import type * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Queue from "effect/Queue"
import * as Terminal from "effect/Terminal"
import { displayWidth } from "effect/cli/CliOutput"
import * as TestClock from "effect/testing/TestClock"
import { execFileSync, spawn } from "node:child_process"
import { type BackendEntry, type ConnectionEntry, EdgeError } from "../../src/cli/EdgeApi.ts"
import { screenOf } from "../../src/cli/topScreen.ts"
import type { TopSnapshot } from "../../src/cli/topSnapshot.ts"
import { press, type Rows, start, type TopState } from "../../src/cli/topState.ts"
import { startWith } from "../e2e/setup.ts"
import { apiOf } from "../support/edgeApi.ts"
import { bundle } from "../support/EdgeProcess.ts"
import { rowOf } from "../support/routingDb.ts"
import { settled } from "../support/settled.ts"
import { connect, echo, serve } from "../support/tcp.ts"
import * as Watch from "../support/Watch.ts"
import { run } from "./rig.ts"

const connection = (id: string, fields: Partial<ConnectionEntry> = {}): ConnectionEntry => ({
  id,
  phase: "relay",
  client: "203.0.113.7",
  client_port: 50_000,
  peer: null,
  sni: null,
  country: "BR",
  region: "sa",
  app: "shop",
  listener: "0.0.0.0:8080",
  backend: "n1",
  backend_addr: "10.0.0.1:80",
  tier: 0,
  affinity: "new",
  attempts: 1,
  connect_ms: 1,
  age_ms: 5_000,
  idle_ms: 0,
  bytes_in: 0,
  bytes_out: 0,
  ...fields
})

type Used = Exclude<BackendEntry, { readonly state: "quarantined" }>

const backend = (id: string, fields: Partial<Used> = {}): Used => ({
  id,
  app: "shop",
  region: "sa",
  country: "BR",
  ip: "10.0.0.1",
  port: 80,
  healthy: true,
  weight: 1,
  soft_limit: 10,
  hard_limit: 20,
  connections: 3,
  warm: 0,
  last_heartbeat_secs: null,
  registered_secs: null,
  source: "table",
  state: "active",
  circuit: "closed",
  check_error: null,
  share: 1,
  owner: null,
  ...fields
})

/** A running process in the hands of a test, whose connections have carried more each time it is asked. */
const makeEdge = () => {
  const world = {
    connections: ["c1", "c2", "c3"],
    /** Bytes to each of them in a second, by the number of the question. */
    asked: 0,
    killed: [] as Array<string>,
    drained: [] as Array<string>,
    gone: false
  }
  const unless = <A>(make: () => A) =>
    Effect.suspend(() =>
      world.gone
        ? Effect.fail(new EdgeError({ reason: "unreachable", where: "it", detail: "connection refused" }))
        : Effect.succeed(make())
    )
  const edge = {
    health: unless(() => ({
      status: "ok" as const,
      version: "1.2.3",
      pop: "gru1",
      region: "sa",
      registered_backends: 0,
      uptime_secs: 61
    })),
    ready: unless(() => ({ ready: true as const, reasons: [], degraded: ["geo-old"] })),
    connections: () =>
      unless(() => {
        world.asked++
        return {
          connections: world.connections.map((id, index) =>
            connection(id, { bytes_out: world.asked * (index + 1) * 1_000_000 })
          ),
          total: 5_000
        }
      }),
    backends: () =>
      unless(() => ({
        backends: [
          backend("n1"),
          backend("n2", { state: "down", check_error: "refused" }),
          { id: "bad", reason: "port", state: "quarantined" as const }
        ],
        total: 2
      })),
    kill: (id: string) => unless(() => void world.killed.push(id)),
    setDraining: (id: string, draining: boolean) => unless(() => void world.drained.push(`${id} ${draining}`))
  }
  return { edge, world }
}

const key = (name: string, more: Partial<Terminal.Key> = {}): Terminal.UserInput => ({
  input: name.length === 1 ? Option.some(name) : Option.none(),
  key: { name: name.toLowerCase(), ctrl: false, meta: false, shift: false, ...more }
})

/** What a terminal does not show. */
const escapes = new RegExp(`${"\u001b"}\\[[0-9]*[a-zA-Z]`, "g")

/** A terminal with a person at it. */
const makeTerminal = Effect.gen(function* () {
  const keys = yield* Queue.unbounded<Terminal.UserInput, Cause.Done>()
  const sizes = yield* Queue.unbounded<Terminal.Size, Cause.Done>()
  const written: Array<string> = []
  const terminal = Terminal.make({
    columns: Effect.succeed(100),
    rows: Effect.succeed(12),
    size: Effect.succeed(sizes),
    readInput: Effect.succeed(keys),
    readLine: Effect.never,
    display: (text) => Effect.sync(() => void written.push(text))
  })
  return {
    terminal,
    written,
    press: (...names: ReadonlyArray<string>) =>
      Effect.andThen(
        Effect.forEach(names, (name) => Queue.offer(keys, key(name)), { discard: true }),
        settled
      ),
    resize: (columns: number, rows: number) => Effect.andThen(Queue.offer(sizes, { columns, rows }), settled),
    /** The lines of the last picture, and which of them stand out. */
    screen: () => {
      const lines = (written.at(-1) ?? "").replace("\u001b[H", "").split("\r\n")
      return {
        lines: lines.map((line) => line.replaceAll(escapes, "").trimEnd()),
        marked: lines.flatMap((line, at) => (line.includes("\u001b[7m") ? [at] : []))
      }
    }
  }
})

describe("edgeproxy top", () => {
  it.effect("prints both lists once where there is no terminal", () =>
    Effect.gen(function* () {
      const { edge } = makeEdge()
      const fiber = yield* Effect.forkChild(run(["top"], { edge }))
      yield* settled
      yield* TestClock.adjust("1 second")
      const { failure, out } = yield* Fiber.join(fiber)
      assert.strictEqual(failure, undefined)
      assert.deepStrictEqual(out.split("\n").slice(0, 5), [
        "gru1 in sa, up 61 s, ready (geo-old)",
        "connections 5000 (3 looked at), 0 B/s in, 6000 kB/s out; backends 2, 1 of them up",
        "",
        "     RATE  ID  PHASE  CLIENT             CC  APP   BACKEND    AGE   IDLE   IN      OUT",
        "3000 kB/s  c3  relay  203.0.113.7:50000  BR  shop  n1       5.0 s  0.0 s  0 B  6000 kB"
      ])
      assert.match(out, /n2 {2}down {4}shop .* refused$/m)
    })
  )

  it.effect("watches: sorts, marks, kills when it is told yes, and gives the terminal back", () =>
    Effect.gen(function* () {
      const { edge, world } = makeEdge()
      const { press, resize, screen, terminal, written } = yield* makeTerminal
      const fiber = yield* Effect.forkChild(run(["top"], { edge, terminal }))
      yield* settled
      assert.include(written[0], "\u001b[?1049h")
      yield* TestClock.adjust("1 second")
      yield* settled
      assert.lengthOf(screen().lines, 12)
      assert.match(screen().lines[3] ?? "", /^ +RATE\* +ID/)
      assert.match(screen().lines[4] ?? "", /^3000 kB\/s {2}c3/)
      // By id.
      yield* press("s")
      assert.match(screen().lines[4] ?? "", /c1/)
      yield* press("down", "down")
      assert.deepStrictEqual(screen().marked, [3, 5, 11])
      yield* press("k")
      assert.strictEqual(screen().lines[11], "Kill c2, 203.0.113.7 to n1? (y/n)")
      yield* press("n")
      assert.deepStrictEqual(world.killed, [])
      yield* press("k", "y")
      assert.deepStrictEqual(world.killed, ["c2"])
      assert.strictEqual(screen().lines[11], "killed c2")
      yield* resize(40, 8)
      assert.lengthOf(screen().lines, 8)
      for (const line of screen().lines) assert.isAtMost(displayWidth(line), 40)
      yield* press("b", "down", "u", "y")
      assert.deepStrictEqual(world.drained, ["n1 false"])
      yield* press("q")
      yield* Fiber.join(fiber)
      assert.include(written.at(-1), "\u001b[?1049l")
    })
  )

  it.effect("stands still while paused, says when nobody answers, and goes on when somebody does", () =>
    Effect.gen(function* () {
      const { edge, world } = makeEdge()
      const { press, screen, terminal } = yield* makeTerminal
      yield* Effect.forkChild(run(["top"], { edge, terminal }))
      yield* settled
      yield* press("p")
      const { asked } = world
      for (let second = 0; second < 5; second++) yield* Effect.andThen(TestClock.adjust("1 second"), settled)
      assert.strictEqual(world.asked, asked)
      yield* press("p")
      world.gone = true
      for (let second = 0; second < 2; second++) yield* Effect.andThen(TestClock.adjust("1 second"), settled)
      assert.match(screen().lines[1] ?? "", /connection refused/)
      assert.match(screen().lines[4] ?? "", /c[123]/)
      world.gone = false
      yield* Effect.andThen(TestClock.adjust("1 second"), settled)
      assert.match(screen().lines[1] ?? "", /^connections 5000/)
    })
  )

  it.effect("says at once when nothing runs", () =>
    Effect.gen(function* () {
      const { terminal, written } = yield* makeTerminal
      const { failure } = yield* run(["top"], { terminal })
      assert.match(failure ?? "", /no edgeproxy answers/)
      assert.deepStrictEqual(written, [])
    })
  )
})

const rows: Rows = { ids: ["a", "b", "c"], page: 2, describe: (id) => `<${id}>` }

const after = (...inputs: ReadonlyArray<Terminal.UserInput>): TopState =>
  inputs.reduce((state, input) => press(state, input, rows, 5).state, start)

describe("the keys of top", () => {
  it("move the mark within the list", () => {
    assert.strictEqual(after(key("down")).selected, "a")
    assert.strictEqual(after(key("up")).selected, "c")
    assert.strictEqual(after(key("down"), key("pagedown")).selected, "c")
    assert.strictEqual(after(key("end"), key("pageup"), key("pageup")).selected, "a")
    assert.strictEqual(press(after(key("down")), key("down"), { ...rows, ids: [] }, 5).state.selected, undefined)
  })

  it("go through the columns in a ring, each list on its own", () => {
    assert.strictEqual(after(key("left")).sort.connections, 4)
    assert.deepStrictEqual(after(key("s"), key("tab"), key("right"), key("right")).sort, {
      connections: 1,
      backends: 2
    })
  })

  it("write a filter: letters that mean something else elsewhere too, and nothing that is no letter", () => {
    const state = after(
      key("/"),
      key("q"),
      key("k"),
      key("x"),
      key("backspace"),
      key("\u0007"),
      key("v", { ctrl: true })
    )
    assert.deepStrictEqual([state.filter, state.mode._tag], ["qk", "Filter"])
    assert.strictEqual(press(state, key("return"), rows, 5).state.mode._tag, "Watch")
    assert.strictEqual(press(state, key("u", { ctrl: true }), rows, 5).state.filter, "")
  })

  it("do nothing irrevocable without a mark, on the wrong list, or without a yes", () => {
    assert.strictEqual(after(key("k")).mode._tag, "Watch")
    assert.strictEqual(after(key("down"), key("d")).mode._tag, "Watch")
    assert.strictEqual(after(key("b"), key("down"), key("k")).mode._tag, "Watch")
    const asked = after(key("down"), key("k"))
    assert.deepInclude(asked.mode, { _tag: "Confirm", question: "Kill <a>? (y/n)" })
    for (const no of ["n", "return", "Y", "q"]) {
      const { action, quit, state } = press(asked, key(no), rows, 5)
      assert.deepStrictEqual([action, quit, state.mode._tag], [undefined, undefined, "Watch"])
    }
    assert.deepStrictEqual(press(asked, key("y"), rows, 5).action, { _tag: "Kill", id: "a" })
  })
})

describe("the screen of top", () => {
  const snapshot: TopSnapshot = {
    at: 0,
    health: { status: "ok", version: "1", pop: "p\u001b[2J", region: "sa", registered_backends: 0, uptime_secs: 1 },
    ready: { ready: true, reasons: [], degraded: [] },
    connections: Array.from({ length: 50 }, (_, at) => ({
      ...connection(`c${at}`, { backend: at === 7 ? "evil\u001b]0;x\u0007\r\nnext" : "東京" }),
      inRate: 0,
      outRate: 50 - at
    })),
    connectionsTotal: 50,
    backends: [],
    backendsTotal: 0
  }

  it("is never wider or longer than the terminal, and keeps the mark in sight", () => {
    for (const size of [
      { columns: 100, rows: 24 },
      { columns: 33, rows: 7 },
      { columns: 1, rows: 1 }
    ]) {
      for (const selected of [undefined, "c0", "c20", "c49"]) {
        const { lines, marked } = screenOf({ ...start, selected }, snapshot, size, "")
        assert.strictEqual(lines.length, Math.max(6, size.rows))
        for (const line of lines) assert.isAtMost(displayWidth(line), size.columns)
        assert.strictEqual(marked.size, selected === undefined ? 2 : 3)
      }
    }
  })

  it("leaves out what matters least where it is narrow, and never what orders the rows", () => {
    const wide: TopSnapshot = {
      ...snapshot,
      connections: [{ ...connection("c1", { backend: "sa-node-1" }), inRate: 1_000, outRate: 5 }],
      backends: [
        { ...backend("sa-node-1", { state: "down", check_error: "connection refused" }), inRate: 0, outRate: 0 }
      ]
    }
    const headOf = (list: "backends" | "connections", columns: number, sort = 0): string => {
      const state = { ...start, list, sort: { ...start.sort, [list]: sort } }
      const { lines } = screenOf(state, wide, { columns, rows: 24 }, "")
      return lines[3]?.trim().replaceAll(/\s+/g, " ") ?? ""
    }
    assert.strictEqual(headOf("connections", 120), "RATE* ID PHASE CLIENT CC APP BACKEND AGE IDLE IN OUT")
    assert.strictEqual(headOf("connections", 80), "RATE* ID CLIENT CC APP BACKEND AGE IDLE IN OUT")
    assert.strictEqual(headOf("connections", 80, 2), "RATE ID PHASE* CLIENT CC BACKEND AGE IDLE IN OUT")
    assert.strictEqual(headOf("backends", 120), "CONNECTIONS* LIMIT ID STATE APP REGION CC IN OUT WEIGHT WHY")
    assert.match(headOf("backends", 80), /^CONNECTIONS\* .*ID STATE .*WHY$/)
    const { lines } = screenOf({ ...start, list: "backends" }, wide, { columns: 80, rows: 24 }, "")
    assert.include(lines[4], "connection refused")
  })

  it("shows what could move the cursor as text", () => {
    const { lines } = screenOf(start, snapshot, { columns: 200, rows: 60 }, "no\u001b[H answer")
    assert.isTrue(lines.every((line) => !/\p{Cc}/u.test(line)))
    assert.include(lines.join("\n"), "evil\\x1b]0;x\\x07\\x0d\\x0anext")
  })

  it("shows what fits the filter", () => {
    const { lines, rows } = screenOf({ ...start, filter: "EVIL" }, snapshot, { columns: 200, rows: 20 }, "")
    assert.deepStrictEqual(rows.ids, ["c7"])
    assert.include(lines.at(-1), "/ filter: EVIL")
  })
})

const scripted = (() => {
  try {
    return execFileSync("script", ["--version"], { encoding: "utf8" }).includes("util-linux")
  } catch {
    return false
  }
})()

describe.skipIf(!scripted)("top on a terminal of the system (skipped without script of util-linux)", () => {
  it.live("draws, kills a connection, and leaves the terminal as it was", () =>
    Effect.gen(function* () {
      const server = yield* serve({ onPeer: echo })
      const edge = yield* startWith([rowOf("n1", server)], { API_LISTEN_ADDR: "127.0.0.1:0" })
      const { url } = yield* apiOf(edge)
      const peer = yield* connect(edge.address)
      yield* peer.send("hello")
      yield* peer.awaitText("hello")
      const watch = Watch.make()
      let text = ""
      let code: number | null | undefined
      const command = `stty cols 100 rows 20; exec ${process.execPath} ${bundle} top --api ${url}`
      const child = yield* Effect.acquireRelease(
        Effect.sync(() => spawn("script", ["-qec", command, "/dev/null"], { stdio: ["pipe", "pipe", "inherit"] })),
        (child) => Effect.sync(() => child.kill("SIGKILL"))
      )
      child.stdout.setEncoding("utf8").on("data", (part: string) => {
        text += part
        watch.touch()
      })
      child.once("exit", (status) => {
        code = status
        watch.touch()
      })
      const shows = (part: string) =>
        watch.until(
          () => `${part} in ${JSON.stringify(text.slice(-2_000))}`,
          () => text.includes(part)
        )
      yield* shows("n1")
      child.stdin.write("\u001b[B")
      child.stdin.write("k")
      yield* shows("Kill ")
      child.stdin.write("y")
      yield* shows("killed ")
      // In order when it was quiet, and else with a reset.
      yield* peer.watch.until("the connection's end", () => peer.closed() !== undefined || peer.socket.readableEnded)
      child.stdin.write("q")
      yield* watch.until("its end", () => code !== undefined)
      assert.strictEqual(code, 0)
      assert.isTrue(text.trimEnd().endsWith("\u001b[?1049l"), JSON.stringify(text.slice(-80)))
    })
  )
})
