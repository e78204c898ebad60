import * as Data from "effect/Data"

/** A command could not do what it was asked; the message is for people. */
export class CommandError extends Data.TaggedError("CommandError")<{ readonly message: string }> {}

/** A check has found something that keeps the proxy from working; what, it has printed. */
export class CheckFailed extends Data.TaggedError("CheckFailed")<{ readonly errors: number }> {
  override get message(): string {
    return this.errors === 1 ? "1 error" : `${this.errors} errors`
  }
}
