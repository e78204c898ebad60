import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as net from "node:net"
import type { Endpoint } from "../../src/traffic/Transport.ts"
import * as rig from "../api/rig.ts"
import { beginnings, fuzzRounds, mutants } from "../support/mutants.ts"

const { ask, make, registration, TOKEN } = rig

const LANES = 16
/** A request without an end is waited for longer; who asks here goes away. */
const PATIENCE_MS = 300
/** A whole one is answered, also by a machine that has other things to do. */
const LONG_MS = 15_000

/** What comes back for these bytes until the end, or for a while. */
const said = ({ address, port }: Endpoint, bytes: Uint8Array, ms: number): Effect.Effect<string> =>
  Effect.callback((resume) => {
    let answer = ""
    const socket = net.connect(port, address, () => socket.write(bytes))
    const end = (): void => {
      clearTimeout(timer)
      socket.destroy()
      resume(Effect.succeed(answer))
    }
    const timer = setTimeout(end, ms)
    socket.setEncoding("latin1").on("data", (text: string) => (answer += text))
    socket.on("error", end).on("close", end)
  })

const json = Buffer.from(JSON.stringify(registration({ country: "BR", weight: 3 })))

const headers = (length: number): string =>
  [
    "POST /api/v1/register HTTP/1.1",
    "Host: localhost",
    `Authorization: Bearer ${TOKEN}`,
    "Content-Type: application/json",
    `Content-Length: ${length}`,
    "Connection: close",
    "",
    ""
  ].join("\r\n")

/** Every answer in it is one of HTTP, none tells of the inside, none says that the server is at fault. */
const isSound = (answer: string, sent: Uint8Array): void => {
  const about = `${JSON.stringify(Buffer.from(sent).toString("latin1"))} -> ${JSON.stringify(answer)}`
  assert.notMatch(answer, /\n\s+at |node:|\.ts:|\.js:/, about)
  for (const [, status] of answer.matchAll(/^HTTP\/1\.1 (\d+)/gm)) assert.isBelow(Number(status), 500, about)
}

const isAlive = Effect.fnUntraced(function* (address: Endpoint) {
  assert.strictEqual((yield* ask(address, "/health")).status, 200)
})

describe("the API", () => {
  it.live(
    "answers whatever body with a status of the client's fault or success",
    () =>
      Effect.gen(function* () {
        const { address, lines } = yield* make()
        const bodies = [...beginnings(json, 2), ...mutants(json, 500)]
        const statuses = new Map<string, number>()
        yield* Effect.forEach(
          bodies,
          Effect.fnUntraced(function* (body) {
            const request = Buffer.concat([Buffer.from(headers(body.length)), body])
            const answer = yield* said(address, request, LONG_MS)
            isSound(answer, request)
            const status = answer.slice(9, 12)
            statuses.set(status, (statuses.get(status) ?? 0) + 1)
          }),
          { concurrency: LANES, discard: true }
        )
        assert.sameMembers(
          [...statuses.keys()].filter((status) => !["200", "201", "400", "403", "409", "429"].includes(status)),
          []
        )
        assert.isAbove(statuses.get("400") ?? 0, 100)
        assert.deepStrictEqual(
          lines.filter((line) => /Die|TypeError|RangeError/.test(line)),
          []
        )
        yield* isAlive(address)
      }),
    60_000 * fuzzRounds
  )

  it.live(
    "outlives whatever bytes a client sends, cut anywhere",
    () =>
      Effect.gen(function* () {
        const { address, lines } = yield* make()
        const whole = Buffer.concat([Buffer.from(headers(json.length)), json])
        yield* Effect.forEach(
          [...beginnings(whole, 7), ...mutants(whole, 300)],
          (bytes) => Effect.map(said(address, bytes, PATIENCE_MS), (answer) => isSound(answer, bytes)),
          { concurrency: LANES, discard: true }
        )
        assert.deepStrictEqual(
          lines.filter((line) => /Die|TypeError|RangeError/.test(line)),
          []
        )
        yield* isAlive(address)
      }),
    60_000 * fuzzRounds
  )
})
