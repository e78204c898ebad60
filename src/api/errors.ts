import * as Schema from "effect/Schema"

/** What the API answers when it does not do what it was asked (D6). JSON of the fields; the tag is the client's. */

/** One thing that is wrong in a request; `path` names a field of the body, a query or a path parameter, "" the whole. */
export const Issue = Schema.Struct({ path: Schema.String, message: Schema.String })

export class BadRequest extends Schema.Error<BadRequest>("BadRequest")(
  { error: Schema.String, issues: Schema.Array(Issue) },
  { httpApiStatus: 400, description: "The request is not what it should be" }
) {
  readonly _tag = "BadRequest"
  override get message(): string {
    return [this.error, ...this.issues.map(({ message, path }) => `${path}: ${message}`)].join("; ")
  }
}

export class Unauthorized extends Schema.Error<Unauthorized>("Unauthorized")(
  { error: Schema.String },
  { httpApiStatus: 401, description: "No token, or a wrong one" }
) {
  readonly _tag = "Unauthorized"
  override get message(): string {
    return this.error
  }
}

export class Forbidden extends Schema.Error<Forbidden>("Forbidden")(
  { error: Schema.String },
  { httpApiStatus: 403, description: "Not for this caller, or not with this address" }
) {
  readonly _tag = "Forbidden"
  override get message(): string {
    return this.error
  }
}

export class NotFound extends Schema.Error<NotFound>("NotFound")(
  { error: Schema.String, id: Schema.String },
  { httpApiStatus: 404, description: "There is no such thing" }
) {
  readonly _tag = "NotFound"
  override get message(): string {
    return `${this.error}: ${this.id}`
  }
}

export class Conflict extends Schema.Error<Conflict>("Conflict")(
  { error: Schema.String, id: Schema.String },
  { httpApiStatus: 409, description: "The id belongs to another source of truth" }
) {
  readonly _tag = "Conflict"
  override get message(): string {
    return `${this.error}: ${this.id}`
  }
}

export class TooLarge extends Schema.Error<TooLarge>("TooLarge")(
  { error: Schema.String, max_bytes: Schema.Int },
  { httpApiStatus: 413, description: "The body is too large" }
) {
  readonly _tag = "TooLarge"
  override get message(): string {
    return this.error
  }
}

export class NotJson extends Schema.Error<NotJson>("NotJson")(
  { error: Schema.String },
  { httpApiStatus: 415, description: "The body is of another type than application/json" }
) {
  readonly _tag = "NotJson"
  override get message(): string {
    return this.error
  }
}

/** Answered by the server ahead of any handler; `Retry-After` says when to come back. */
export class Flooded extends Schema.Error<Flooded>("Flooded")(
  { error: Schema.String },
  { httpApiStatus: 429, description: "Too many requests from this address" }
) {
  readonly _tag = "Flooded"
  override get message(): string {
    return this.error
  }
}

export class Unavailable extends Schema.Error<Unavailable>("Unavailable")(
  { error: Schema.String },
  { httpApiStatus: 503, description: "The store could not make the change durable; trying again may do" }
) {
  readonly _tag = "Unavailable"
  override get message(): string {
    return this.error
  }
}
