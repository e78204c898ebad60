import * as Data from "effect/Data"

/** One thing that is wrong in a topology, and where. */
export interface TopologyProblem {
  /** As it stands in the file, entries counted from 0, with the host's name: `backend[2].endpoint (eu-node-1)`. */
  readonly path: string
  readonly message: string
}

const MAX_TOLD = 100

/** The topology can't be used. Holds everything that is wrong; the message has one line for each. */
export class TopologyError extends Data.TaggedError("TopologyError")<{
  readonly file: string
  readonly problems: ReadonlyArray<TopologyProblem>
}> {
  override get message(): string {
    const lines = this.problems.slice(0, MAX_TOLD).map(({ message, path }) => `${this.file}: ${path}: ${message}`)
    const more = this.problems.length - MAX_TOLD
    return (more > 0 ? [...lines, `${this.file}: ${more} more`] : lines).join("\n")
  }
}
