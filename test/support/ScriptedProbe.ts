import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { HealthProbe, type Probe, ProbeError, type ProbeTarget } from "../../src/backends/HealthProbe.ts"

/** What a backend does when it is asked. `hang` lets the deadline come. */
export type Script = "pass" | "hang" | "die" | ProbeError["reason"]

export interface Asked extends ProbeTarget {
  readonly at: number
  readonly what: Probe
}

/** A probe without sockets: the test says what each address answers, and sees who was asked when. */
export const make = (now: () => number) => {
  const scripts = new Map<string, Script>()
  const asked: Array<Asked> = []
  let running = 0
  let most = 0
  const probe = (target: ProbeTarget, what: Probe, timeoutMs: number): Effect.Effect<number, ProbeError> =>
    Effect.suspend((): Effect.Effect<number, ProbeError> => {
      asked.push({ ...target, what, at: now() })
      most = Math.max(most, ++running)
      const script = scripts.get(target.address) ?? "pass"
      if (script === "pass") return Effect.as(Effect.sleep(1), 1)
      if (script === "die") return Effect.die(new Error("a bug"))
      const ms = script === "hang" ? timeoutMs : 1
      const error = new ProbeError({ reason: script === "hang" ? "timeout" : script, detail: "script" })
      return Effect.andThen(Effect.sleep(ms), Effect.fail(error))
    }).pipe(Effect.ensuring(Effect.sync(() => running--)))
  return {
    layer: Layer.succeed(HealthProbe, { probe }),
    answers: (address: string, script: Script): void => void scripts.set(address, script),
    asked,
    running: () => running,
    most: () => most,
    /** When this one was asked. */
    times: (address: string): ReadonlyArray<number> =>
      asked.filter((each) => each.address === address).map(({ at }) => at)
  }
}
