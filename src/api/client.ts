import type * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import * as HttpApiClient from "effect/http-api/HttpApiClient"
import { Api } from "./Api.ts"

export interface ClientOptions {
  /** Such as `http://127.0.0.1:8081`. */
  readonly baseUrl: string
  readonly token?: Redacted.Redacted | undefined
}

export type ApiClient = HttpApiClient.ForApi<typeof Api>

/** A typed client of the API of one POP; `client.backends.register({ payload })`. */
export const make = ({ baseUrl, token }: ClientOptions): Effect.Effect<ApiClient, never, HttpClient.HttpClient> =>
  HttpApiClient.make(Api, {
    baseUrl,
    transformClient: (client) =>
      token === undefined ? client : HttpClient.mapRequest(client, HttpClientRequest.bearerToken(Redacted.value(token)))
  })
