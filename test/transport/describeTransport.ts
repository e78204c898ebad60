import { describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import type { Transport } from "../../src/traffic/Transport.ts"
import type { Ability, Case } from "./Case.ts"
import * as aborts from "./cases/aborts.ts"
import * as bytes from "./cases/bytes.ts"
import * as deadlines from "./cases/deadlines.ts"
import * as dialling from "./cases/dialling.ts"
import * as endings from "./cases/endings.ts"
import * as listening from "./cases/listening.ts"
import * as numbers from "./cases/numbers.ts"

const groups: ReadonlyArray<readonly [group: string, cases: ReadonlyArray<Case>]> = [
  ["carries bytes", bytes.cases],
  ["ends connections", endings.cases],
  ["dials", dialling.cases],
  ["keeps deadlines", deadlines.cases],
  ["aborts", aborts.cases],
  ["listens", listening.cases],
  ["bears numbers", numbers.cases]
]

/** All an engine has to do, on real sockets of the loopback interface. A further engine joins with one line. */
export const describeTransport = (
  engine: string,
  layer: Layer.Layer<Transport>,
  abilities: ReadonlyArray<Ability> = []
): void => {
  describe(`the ${engine} engine`, () => {
    for (const [group, cases] of groups) {
      describe(`it ${group}`, () => {
        for (const { name, needs, run, skip, timeoutMs } of cases) {
          if (needs !== undefined && !abilities.includes(needs)) continue
          it.live.skipIf(skip)(name, () => Effect.provide(Effect.scoped(run), layer), timeoutMs)
        }
      })
    }
  })
}
