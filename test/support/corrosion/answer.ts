import type { IncomingMessage, ServerResponse } from "node:http"
import { parseJson } from "./json.ts"
import type { Json } from "./json.ts"

/** An answer that is no stream. Without a body it is empty. */
export interface Answer {
  readonly status: number
  readonly body?: string
  readonly type?: "text/plain; charset=utf-8" | "application/json"
}

export const empty = (status: number): Answer => ({ status })

export const text = (status: number, body: string): Answer => ({ status, body, type: "text/plain; charset=utf-8" })

export const json = (status: number, body: unknown): Answer => ({
  status,
  body: JSON.stringify(body),
  type: "application/json"
})

export const error = (status: number, message: string): Answer => json(status, { error: message })

export const send = (response: ServerResponse, { body = "", status, type }: Answer): void => {
  response.writeHead(status, {
    "content-length": Buffer.byteLength(body),
    ...(type === undefined ? {} : { "content-type": type })
  })
  response.end(body)
}

export const readBody = async (request: IncomingMessage): Promise<string> => {
  const chunks: Array<Buffer> = []
  // A request without an encoding gives buffers.
  for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk)
  return Buffer.concat(chunks).toString("utf8")
}

const IS_JSON = /^application\/(?:[^;\s]+\+)?json\s*(?:;|$)/i

/** The JSON of a body, or the refusal: 415 without its content type, 400 when it is malformed. */
export const readJson = async (
  request: IncomingMessage
): Promise<{ readonly json: Json } | { readonly refusal: Answer }> => {
  if (!IS_JSON.test(request.headers["content-type"] ?? "")) {
    return { refusal: text(415, "Expected request with `Content-Type: application/json`") }
  }
  const body = await readBody(request)
  try {
    return { json: parseJson(body) }
  } catch (cause) {
    return { refusal: text(400, `Failed to parse the request body as JSON: ${String(cause)}`) }
  }
}

/** The parameters of a URL, or the refusal. */
export interface Params {
  readonly from: number | undefined
  readonly skipRows: boolean
}

const isU64 = (value: string): boolean => /^\+?\d+$/.test(value) && BigInt(value) < 2n ** 64n

export const readParams = (url: URL): Params | { readonly refusal: Answer } => {
  const refuse = (why: string) => ({ refusal: text(400, `Failed to deserialize query string: ${why}`) })
  for (const name of ["from", "skip_rows", "timeout"]) {
    if (url.searchParams.getAll(name).length > 1) return refuse(`duplicate field \`${name}\``)
  }
  for (const name of ["from", "timeout"]) {
    const value = url.searchParams.get(name)
    if (value !== null && !isU64(value)) return refuse(`${name}: invalid digit found in string`)
  }
  const from = url.searchParams.get("from")
  const skipRows = url.searchParams.get("skip_rows")
  if (skipRows !== null && skipRows !== "true" && skipRows !== "false") {
    return refuse("skip_rows: provided string was not `true` or `false`")
  }
  return { from: from === null ? undefined : Number(from), skipRows: skipRows === "true" }
}
