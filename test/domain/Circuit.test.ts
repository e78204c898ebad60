import { assert, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Circuit from "../../src/domain/Circuit.ts"
import { between, oneOf } from "../support/arbitraries.ts"

const options: Circuit.CircuitOptions = { failureThreshold: 3, successThreshold: 2, timeoutMs: 1_000 }

const failed = (circuit: Circuit.Circuit, now: number): Circuit.Circuit =>
  Circuit.told(circuit, "failed", Circuit.trialOf(circuit, options), now, options)

/** Open since 5 ms. */
const open = (): Circuit.Circuit => [5, 5, 5].reduce(failed, Circuit.closed)

const halfOpen = (): Circuit.Circuit => Circuit.at(open(), 1_005, options)

describe("H2: a circuit", () => {
  it("opens with failures in a row, not with as many in all", () => {
    const two = failed(failed(Circuit.closed, 1), 2)
    assert.strictEqual(two._tag, "Closed")
    const again = Circuit.told(two, "succeeded", undefined, 3, options)
    assert.deepStrictEqual(failed(failed(again, 4), 5), { _tag: "Closed", failures: 2 })
    assert.deepStrictEqual(failed(two, 9), { _tag: "Open", since: 9 })
    assert.deepStrictEqual(Circuit.told(two, "neutral", undefined, 3, options), two)
  })

  it("stays open for its time, whatever comes in late", () => {
    assert.isFalse(Circuit.admits(open(), options))
    for (const verdict of ["succeeded", "failed", "neutral"] as const) {
      assert.deepStrictEqual(Circuit.told(open(), verdict, undefined, 500, options), open())
    }
    assert.deepStrictEqual(Circuit.at(open(), 1_004, options), open())
    assert.strictEqual(halfOpen()._tag, "HalfOpen")
  })

  it("on trial admits as many at once as must succeed, and closes when they have", () => {
    const one = Circuit.admitted(halfOpen(), options)
    const two = Circuit.admitted(one, options)
    assert.deepStrictEqual([Circuit.admits(one, options), Circuit.admits(two, options)], [true, false])
    assert.strictEqual(Circuit.admitted(two, options), two)
    assert.isUndefined(Circuit.trialOf(two, options))
    const half = Circuit.told(two, "succeeded", 5, 1_100, options)
    assert.isFalse(Circuit.admits(half, options), "one has succeeded, one tries: a third is not wanted")
    assert.strictEqual(Circuit.told(half, "succeeded", 5, 1_100, options), Circuit.closed)
  })

  it("on trial takes another for one that said nothing, and opens again with one failure", () => {
    const two = Circuit.admitted(Circuit.admitted(halfOpen(), options), options)
    assert.isTrue(Circuit.admits(Circuit.told(two, "neutral", 5, 1_100, options), options))
    assert.deepStrictEqual(Circuit.told(two, "failed", 5, 1_100, options), { _tag: "Open", since: 1_100 })
  })

  it("on trial heeds nobody of another trial or of none", () => {
    const trying = Circuit.admitted(halfOpen(), options)
    for (const trial of [undefined, 4]) {
      for (const verdict of ["succeeded", "failed", "neutral"] as const) {
        assert.strictEqual(Circuit.told(trying, verdict, trial, 1_100, options), trying)
      }
    }
  })
})

describe("H2: what the end of a connection says", () => {
  it.each([
    ["backend", 0, 999, "failed"],
    ["backend", 1, 10, "succeeded"],
    ["client", 1, 10, "succeeded"],
    ["client", 0, 10, "neutral"],
    ["proxy", 0, 10, "neutral"],
    ["backend", 0, 1_000, "neutral"],
    ["backend", 5, 60_000, "neutral"]
  ] as const)("ended by the %s after %i bytes and %i ms: %s", (by, bytes, lived, verdict) => {
    assert.strictEqual(Circuit.verdictOf(by, bytes, lived), verdict)
  })
})

type Step = { readonly kind: "send" | Circuit.Verdict | "wait"; readonly pick: number }

const steps: Arbitrary.Arbitrary<ReadonlyArray<Step>> = Arbitrary.array(
  Arbitrary.all({
    kind: oneOf<Step["kind"]>(["send", "failed", "succeeded", "neutral", "send", "failed", "send", "wait"]),
    pick: Arbitrary.schema(between(0, 600))
  }),
  { maxLength: 300 }
)

/** H2 as it reads, told by the history alone: it keeps every verdict and counts anew each time. */
class Reference {
  readonly #options: Circuit.CircuitOptions
  #verdicts: Array<Circuit.Verdict> = []
  #openedAt: number | undefined
  #onTrial = new Set<number>()
  #successes = 0

  constructor(options: Circuit.CircuitOptions) {
    this.#options = options
  }

  state(now: number): Circuit.Circuit["_tag"] {
    if (this.#openedAt === undefined) return "Closed"
    return now - this.#openedAt < this.#options.timeoutMs ? "Open" : "HalfOpen"
  }

  admits(now: number): boolean {
    const state = this.state(now)
    const tries = this.#onTrial.size + this.#successes
    return state === "Closed" || (state === "HalfOpen" && tries < this.#options.successThreshold)
  }

  send(connection: number, now: number): void {
    if (this.state(now) === "HalfOpen") this.#onTrial.add(connection)
  }

  tell(connection: number, verdict: Circuit.Verdict, now: number): void {
    const state = this.state(now)
    if (state === "Closed") {
      if (verdict !== "neutral") this.#verdicts.push(verdict)
      const last = this.#verdicts.slice(-this.#options.failureThreshold)
      if (last.length === this.#options.failureThreshold && last.every((each) => each === "failed")) this.#open(now)
    } else if (state === "HalfOpen" && this.#onTrial.delete(connection)) {
      if (verdict === "failed") this.#open(now)
      if (verdict === "succeeded" && ++this.#successes >= this.#options.successThreshold) {
        this.#openedAt = undefined
        this.#verdicts = []
      }
    }
  }

  #open(now: number): void {
    this.#openedAt = now
    this.#onTrial.clear()
    this.#successes = 0
  }
}

describe("H2: a circuit against the rule as it reads", () => {
  it.prop(
    "any history",
    [steps, Arbitrary.schema(between(1, 4)), Arbitrary.schema(between(1, 3))],
    ([steps, failureThreshold, successThreshold]) => {
      const options = { failureThreshold, successThreshold, timeoutMs: 1_000 }
      const reference = new Reference(options)
      const running: Array<{ readonly id: number; readonly trial: number | undefined }> = []
      let circuit = Circuit.closed
      let now = 0
      steps.forEach(({ kind, pick }, id) => {
        if (kind === "wait") {
          now += pick
          circuit = Circuit.at(circuit, now, options)
        } else if (kind === "send") {
          if (!Circuit.admits(circuit, options)) return
          running.push({ id, trial: Circuit.trialOf(circuit, options) })
          circuit = Circuit.admitted(circuit, options)
          reference.send(id, now)
        } else {
          const [chosen] = running.splice(pick % Math.max(1, running.length), 1)
          if (chosen === undefined) return
          circuit = Circuit.told(circuit, kind, chosen.trial, now, options)
          reference.tell(chosen.id, kind, now)
        }
        assert.strictEqual(circuit._tag, reference.state(now))
        assert.strictEqual(Circuit.admits(circuit, options), reference.admits(now))
        if (circuit._tag === "HalfOpen") {
          assert.isAtLeast(circuit.trying, 0)
          assert.isAtMost(circuit.trying + circuit.successes, successThreshold)
        }
      })
    },
    { arbitrary: { runs: 300, size: 300 } }
  )
})
