import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import { readFileSync } from "node:fs"
import { CommandError } from "../../src/cli/CommandError.ts"
import { EdgeApi } from "../../src/cli/EdgeApi.ts"
import * as edgeClient from "../../src/cli/edgeClient.ts"
import type { ConfigError } from "../../src/config/ConfigError.ts"
import { load } from "../../src/config/load.ts"
import type { Endpoint } from "../../src/config/networks.ts"
import type { ConfigValues } from "../../src/config/variables.ts"

const readText = (path: string): Result.Result<string, string> =>
  Result.try({
    try: () => readFileSync(path, "utf8"),
    catch: (error) => (error instanceof Error ? error.message : String(error))
  })

/** What the environment says of the API; what is wrong in the rest of it is no concern of a question to a running process. */
const apiConfig = (): Result.Result<ConfigValues, ConfigError> => {
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => name.startsWith("EDGEPROXY_API_")))
  return Result.map(load({ env, hostname: "localhost", readFile: readText }), ({ config }) => config)
}

const loopback: Readonly<Record<string, string>> = { "0.0.0.0": "127.0.0.1", "::": "::1" }

/** Where a listener of this host is reached. */
const urlOf = ({ address, port }: Endpoint): string => {
  const host = loopback[address] ?? address
  return `http://${host.includes(":") ? `[${host}]` : host}:${port}`
}

const isHttp = (text: string): boolean => /^https?:$/.test(URL.parse(text)?.protocol ?? "")

const fail = (message: string) => Effect.fail(new CommandError({ message }))

const baseUrl = (given: string | undefined, config: ConfigValues): Effect.Effect<string, CommandError> => {
  if (given !== undefined) {
    return isHttp(given)
      ? Effect.succeed(given.replace(/\/+$/, ""))
      : fail("--api takes a URL such as http://127.0.0.1:8081")
  }
  if (!config.apiEnabled) return fail("the API is off here (EDGEPROXY_API_ENABLED); --api names another one")
  if (config.apiListenAddr.port === 0) return fail("EDGEPROXY_API_LISTEN_ADDR has port 0; --api names the one in use")
  return Effect.succeed(urlOf(config.apiListenAddr))
}

const tokenOf = (
  file: string | undefined,
  config: ConfigValues
): Effect.Effect<Redacted.Redacted | undefined, CommandError> => {
  // Whoever may change may look as well.
  if (file === undefined) return Effect.succeed(config.apiToken ?? config.apiReadToken)
  return Result.match(readText(file), {
    onFailure: (detail) => fail(`--token-file: ${detail}`),
    onSuccess: (text) => {
      const token = text.trim()
      return /^[\x21-\x7e]+$/.test(token)
        ? Effect.succeed(Redacted.make(token))
        : fail(`--token-file: ${file} holds no token`)
    }
  })
}

/** Running processes over HTTP. No redirect is followed: the token is for whom it was meant. */
export const layer: Layer.Layer<EdgeApi> = Layer.succeed(EdgeApi, {
  connect: Effect.fnUntraced(function* ({ tokenFile, url }) {
    const config = yield* Effect.fromResult(apiConfig())
    const options = { url: yield* baseUrl(url, config), token: yield* tokenOf(tokenFile, config) }
    return yield* edgeClient
      .make(options)
      .pipe(
        Effect.provide(FetchHttpClient.layer),
        Effect.provideService(FetchHttpClient.RequestInit, { redirect: "manual" })
      )
  })
})
