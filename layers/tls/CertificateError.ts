import * as Data from "effect/Data"

/** A certificate, a key or an authority that can't be used. Names files, never their content. */
export class CertificateError extends Data.TaggedError("CertificateError")<{
  readonly source: string
  readonly reason: string
}> {
  override get message(): string {
    return `${this.source}: ${this.reason}`
  }
}
