import type { Endpoint, Fault } from "./Command.ts"

/** The faults that wait for requests. */
export class Faults {
  #waiting: Array<{ readonly fault: Fault; times: number }> = []

  add(fault: Fault): void {
    this.#waiting.push({ fault, times: fault.times ?? 1 })
  }

  clear(): void {
    this.#waiting = []
  }

  /** The oldest fault for such a request. */
  take(endpoint: Endpoint): Fault | undefined {
    const found = this.#waiting.find(({ fault }) => fault.on === undefined || fault.on === endpoint)
    if (found === undefined) return undefined
    found.times--
    if (found.times <= 0) this.#waiting = this.#waiting.filter((each) => each !== found)
    return found.fault
  }
}
