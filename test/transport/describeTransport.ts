import { describe, layer } from "@effect/vitest"
import * as Layer from "effect/Layer"
import type { Case } from "./Case.ts"
import * as aborts from "./cases/aborts.ts"
import * as accepting from "./cases/accepting.ts"
import * as addresses from "./cases/addresses.ts"
import * as bytes from "./cases/bytes.ts"
import * as calls from "./cases/calls.ts"
import * as deadlines from "./cases/deadlines.ts"
import * as dialling from "./cases/dialling.ts"
import * as endings from "./cases/endings.ts"
import * as exhaustion from "./cases/exhaustion.ts"
import * as halfClosing from "./cases/halfClosing.ts"
import * as listening from "./cases/listening.ts"
import * as losses from "./cases/losses.ts"
import * as numbers from "./cases/numbers.ts"
import * as options from "./cases/options.ts"
import * as prelude from "./cases/prelude.ts"
import * as preread from "./cases/preread.ts"
import * as resets from "./cases/resets.ts"
import * as scopes from "./cases/scopes.ts"
import * as scripts from "./cases/scripts.ts"
import * as stalls from "./cases/stalls.ts"
import * as threads from "./cases/threads.ts"
import * as warm from "./cases/warm.ts"
import { type Engine, EngineUnderTest } from "./Engine.ts"

const groups: ReadonlyArray<readonly [group: string, cases: ReadonlyArray<Case>, how?: "concurrent"]> = [
  ["carries bytes", bytes.cases],
  ["bears random scripts", scripts.cases],
  ["bears stalls", stalls.cases],
  ["closes halves", halfClosing.cases],
  ["ends connections", endings.cases],
  ["passes resets on", resets.cases],
  ["looks at first bytes", preread.cases],
  ["dials", dialling.cases],
  ["sends a prelude", prelude.cases],
  ["opens connections ahead", warm.cases.map((each) => ({ ...each, needs: "opens connections ahead" }))],
  // They mostly wait.
  ["keeps deadlines", deadlines.cases, "concurrent"],
  ["aborts", aborts.cases],
  ["bears odd calls", calls.cases],
  ["listens", listening.cases],
  ["ends with its scope", scopes.cases],
  ["accepts", accepting.cases],
  ["knows addresses", addresses.cases],
  ["sets socket options", options.cases],
  ["bears want", exhaustion.cases],
  ["bears numbers", numbers.cases],
  ["outlives the thread of", threads.cases],
  ["outlives the loss of threads with", losses.cases]
]

/** Those that hold also for what is said in TLS: the others count bytes on the wire, or need none. */
const throughTls: ReadonlySet<string> = new Set([
  "carries bytes",
  "closes halves",
  "ends connections",
  "passes resets on",
  "dials",
  "aborts"
])

const isFor = ({ inClear, lacks, needs, threads }: Case, { abilities, killThread, tls }: Engine): boolean =>
  (inClear !== true || tls === undefined) &&
  (needs === undefined || abilities.includes(needs)) &&
  (lacks === undefined || !abilities.includes(lacks)) &&
  (threads !== true || killThread !== undefined)

/**
 * All an engine has to do, on real sockets of the loopback interface. The cases of a group share an engine, mostly one after
 * the other, so that each also shows what its predecessors have left. A further engine joins with one line.
 */
export const describeTransport = (engine: Engine): void => {
  const underTest = Layer.merge(engine.layer, Layer.succeed(EngineUnderTest, engine))
  describe(`the ${engine.name} engine`, () => {
    for (const [group, cases, how] of groups) {
      if (engine.tls !== undefined && !throughTls.has(group)) continue
      const those = cases.filter((each) => isFor(each, engine))
      if (those.length === 0) continue
      layer(underTest, { excludeTestServices: true, concurrent: how === "concurrent" })(`it ${group}`, (it) => {
        for (const { name, run, skip, timeoutMs } of those) it.effect.skipIf(skip)(name, () => run, timeoutMs)
      })
    }
  })
}
