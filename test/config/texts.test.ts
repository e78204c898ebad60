import { assert, describe, it } from "@effect/vitest"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type { Codec } from "../../src/config/Codec.ts"
import {
  domain,
  keyValues,
  name,
  path,
  protocols,
  sniRoutes,
  symbol,
  token,
  url,
  urlPath
} from "../../src/config/texts.ts"

const read = <A>(codec: Codec<A>, text: string): A => Result.getOrThrow(codec.decode(text))

const taken: ReadonlyArray<readonly [string, Codec<unknown>, string, string]> = [
  ["name", name, " gru-1 ", "gru-1"],
  ["name", name, "São Paulo", "São Paulo"],
  ["path", path, "./my file.db", "./my file.db"],
  ["token", token, "a/b+c=", "a/b+c="],
  ["urlPath", urlPath, "/health?deep=1", "/health?deep=1"],
  ["symbol", symbol, " edge_proxy4 ", "edge_proxy4"],
  ["url", url("http", "https"), "https://[::1]:8090/v1", "https://[::1]:8090/v1"],
  ["url", url("http"), "http://me:p@ss@host/", "http://***@host/"],
  ["domain", domain, "Internal.Example.", "internal.example"],
  ["domain", domain, "internal", "internal"],
  ["sniRoutes", sniRoutes, "DB.example.com=pg, *.shop.example.com=shop", "db.example.com=pg,*.shop.example.com=shop"],
  ["protocols", protocols, "h2, http/1.1", "h2,http/1.1"],
  ["keyValues", keyValues, "a=b%20c,deployment.environment=prod", "a=b%20c,deployment.environment=prod"]
]

const refused: ReadonlyArray<readonly [string, Codec<unknown>, string]> = [
  ["name", name, " "],
  ["name", name, "a\tb"],
  ["name", name, "a\u2028b"],
  ["name", name, "x".repeat(129)],
  ["path", path, ""],
  ["path", path, "a\0b"],
  ["path", path, "a\nb"],
  ["token", token, "two words"],
  ["token", token, "line\n"],
  ["token", token, "ü"],
  ["urlPath", urlPath, "health"],
  ["symbol", symbol, "4edge"],
  ["symbol", symbol, 'edge"; down'],
  ["symbol", symbol, "edge*"],
  ["urlPath", urlPath, "/a b"],
  ["url", url("http", "https"), "localhost:8090"],
  ["url", url("http", "https"), "ftp://host"],
  ["url", url("http", "https"), "http:host"],
  ["url", url("http", "https"), "http://"],
  ["url", url("http", "https"), "http://host:99999"],
  ["domain", domain, "."],
  ["domain", domain, "-a.example"],
  ["domain", domain, "a..b"],
  ["domain", domain, "10.0.0.1"],
  ["sniRoutes", sniRoutes, "db.example.com"],
  ["sniRoutes", sniRoutes, "*=pg"],
  ["sniRoutes", sniRoutes, "a.*.example.com=pg"],
  ["sniRoutes", sniRoutes, "a.example=x,A.example=y"],
  ["protocols", protocols, "h2,,http/1.1"],
  ["protocols", protocols, "h2,h2"],
  ["keyValues", keyValues, "a"],
  ["keyValues", keyValues, "=b"],
  ["keyValues", keyValues, "a=%zz"]
]

describe("texts", () => {
  it.each(taken)("%s takes %#", (_, codec, text, canonical) => {
    assert.strictEqual(codec.encode(read(codec, text)), canonical)
  })

  it.each(refused)("%s refuses %#", (_, codec, text) => {
    assert.isTrue(Result.isFailure(codec.decode(text)), JSON.stringify(text))
  })

  it.prop("a value of a key is any text", [Schema.String], ([value]) => {
    if (!value.isWellFormed()) return
    assert.deepStrictEqual(read(keyValues, keyValues.encode([["key", value]])), [["key", value]])
  })
})
