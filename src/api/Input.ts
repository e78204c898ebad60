import * as ByteSize from "effect/ByteSize"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Result from "effect/Result"
import * as SchemaIssue from "effect/SchemaIssue"
import * as HttpIncomingMessage from "effect/http/HttpIncomingMessage"
import type * as HttpServerError from "effect/http/HttpServerError"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as HttpApiError from "effect/http-api/HttpApiError"
import * as HttpApiMiddleware from "effect/http-api/HttpApiMiddleware"
import { BadRequest, NotJson, TooLarge } from "./errors.ts"

/** The largest body taken (D6). */
export const MAX_BODY_BYTES = 65_536

/** What comes in is read within its bounds, and what is wrong in it is told field by field (D6). */
export class Input extends HttpApiMiddleware.Service<Input>()("edgeproxy/api/Input", {
  error: [BadRequest, TooLarge, NotJson]
}) {}

const tooLarge = (): TooLarge =>
  new TooLarge({ error: `the body is larger than ${MAX_BODY_BYTES} bytes`, max_bytes: MAX_BODY_BYTES })

const badBody = (message: string): BadRequest =>
  new BadRequest({ error: "bad request", issues: [{ path: "", message }] })

const isJson = (contentType: string | undefined): boolean =>
  contentType !== undefined && /^application\/json\s*(;|$)/i.test(contentType.trim())

const bodyError = ({ reason }: HttpServerError.HttpServerError): BadRequest | TooLarge =>
  reason._tag === "RequestParseError" && reason.reason === "BodyTooLarge"
    ? tooLarge()
    : badBody("the body did not arrive whole")

const utf8 = new TextDecoder("utf-8", { fatal: true })

/** Reads the body ahead of whoever wants it: the request keeps it. */
const readBody = Effect.gen(function* () {
  const request = yield* HttpServerRequest.HttpServerRequest
  const { headers } = request
  const length = headers["content-length"]
  const chunked = headers["transfer-encoding"] !== undefined
  if (!chunked && (length === undefined || length === "0")) return
  if (!isJson(headers["content-type"])) return yield* new NotJson({ error: "a body has to be application/json" })
  // Known to be too long: not a byte of it is read.
  if (Number(length) > MAX_BODY_BYTES) return yield* tooLarge()
  const bytes = yield* request.arrayBuffer.pipe(
    Effect.provideService(HttpIncomingMessage.MaxBodySize, ByteSize.bytes(MAX_BODY_BYTES)),
    Effect.mapError(bodyError)
  )
  if (Result.isFailure(Result.try(() => utf8.decode(bytes)))) return yield* badBody("expected UTF-8")
})

const formatIssues = SchemaIssue.makeFormatterStandardSchemaV1()

const LONGEST_MESSAGE = 200
const MAX_ISSUES = 20

const segment = (part: PropertyKey | { readonly key: PropertyKey }): string =>
  String(typeof part === "object" ? part.key : part)

/** What a decoder found, as {@link BadRequest}. */
const badRequest = ({ cause }: HttpApiError.HttpApiSchemaError): BadRequest =>
  new BadRequest({
    error: "bad request",
    issues: formatIssues(cause.issue)
      .issues.slice(0, MAX_ISSUES)
      .map(({ message, path }) => ({
        path: (path ?? []).map(segment).join("."),
        message: message.length > LONGEST_MESSAGE ? `${message.slice(0, LONGEST_MESSAGE)}...` : message
      }))
  })

/** Faults of the request only: an answer that can't be encoded is the program's own. */
const isInputError = (error: unknown): error is HttpApiError.HttpApiSchemaError =>
  HttpApiError.HttpApiSchemaError.is(error) && error.kind !== "Body" && error.kind !== "ResponseHeaders"

export const layer: Layer.Layer<Input> = Layer.succeed(Input, (handler) =>
  Effect.andThen(readBody, handler).pipe(Effect.mapError((error) => (isInputError(error) ? badRequest(error) : error)))
)
