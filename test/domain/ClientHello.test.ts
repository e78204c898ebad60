import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as net from "node:net"
import * as tls from "node:tls"
import { MAX_HELLO, parse } from "../../src/domain/ClientHello.ts"
import {
  alpn,
  type Extension,
  grease,
  hello,
  message,
  records,
  serverName,
  supportedVersions
} from "../support/clientHello.ts"

const ascii = (text: string): Uint8Array => Buffer.from(text, "latin1")

const reasonOf = (bytes: Uint8Array, finished?: boolean): string => {
  const parsed = parse(bytes, finished)
  return parsed._tag === "Malformed" ? parsed.reason : parsed._tag
}

const helloOf = (bytes: Uint8Array) => {
  const parsed = parse(bytes)
  if (parsed._tag !== "Hello") throw new Error(`${parsed._tag} ${reasonOf(bytes)}`)
  return parsed.hello
}

const nameOf = (name: string): string | undefined =>
  helloOf(records(message({ extensions: [serverName(name)] }))).serverName

/** The first bytes of a client that others have written: what OpenSSL says. */
const saidByNode = (options: tls.ConnectionOptions) =>
  Effect.callback<Uint8Array>((resume) => {
    const server = net.createServer((socket) => {
      socket.on("error", () => undefined)
      socket.once("data", (bytes) => {
        resume(Effect.succeed(Buffer.from(bytes)))
        socket.destroy()
        server.close()
      })
    })
    server.listen(0, "127.0.0.1", () => {
      const address = server.address()
      const port = typeof address === "object" && address !== null ? address.port : 0
      tls.connect({ host: "127.0.0.1", port, ...options }).on("error", () => undefined)
    })
  })

describe("a ClientHello", () => {
  it("tells the server name, the protocols and the versions; what was strewn in is left out", () => {
    assert.deepStrictEqual(helloOf(hello("Shop.Example.COM", "h2", "http/1.1")), {
      serverName: "shop.example.com",
      protocols: ["h2", "http/1.1"],
      versions: [0x0304, 0x0303]
    })
    const strewn = records(message({ extensions: [alpn("\x2a\x2a", "h2"), grease(3)] }))
    assert.deepStrictEqual(helloOf(strewn).protocols, ["h2"])
  })

  it("has none of them when it has no extensions, as TLS 1.2 allows", () => {
    const bare = message({})
    const without = [bare[0] ?? 0, 0, 0, (bare[3] ?? 0) - 2, ...bare.slice(4, -2)]
    for (const body of [bare, without]) {
      assert.deepStrictEqual(helloOf(records(body)), { serverName: undefined, protocols: [], versions: [0x0303] })
    }
  })

  it.live("is understood as OpenSSL says it", () =>
    Effect.gen(function* () {
      const full = yield* saidByNode({ servername: "db.example.com", ALPNProtocols: ["postgresql", "h2"] })
      assert.deepStrictEqual(helloOf(full), {
        serverName: "db.example.com",
        protocols: ["postgresql", "h2"],
        versions: [0x0304, 0x0303]
      })
      const old = yield* saidByNode({ servername: "", maxVersion: "TLSv1.2" })
      assert.deepStrictEqual(helloOf(old), { serverName: undefined, protocols: [], versions: [0x0303] })
    })
  )

  it("is the same however it is cut into records", () => {
    const body = message({
      extensions: [grease(0), serverName("db.example.com"), alpn("h2"), supportedVersions(0x0304)]
    })
    for (let size = 1; size <= body.length; size++) {
      assert.deepStrictEqual(helloOf(records(body, size)), {
        serverName: "db.example.com",
        protocols: ["h2"],
        versions: [0x0304]
      })
    }
  })

  it("is waited for as long as it is incomplete, cut at any byte, and not a byte longer", () => {
    const body = message({ extensions: [serverName("db.example.com"), alpn("h2")] })
    for (const size of [16_384, 50, 7, 4, 3, 1]) {
      const bytes = records(body, size)
      for (let cut = 0; cut < bytes.length; cut++) {
        assert.strictEqual(reasonOf(bytes.subarray(0, cut)), "More")
        assert.strictEqual(reasonOf(bytes.subarray(0, cut), true), "cut")
      }
      assert.strictEqual(reasonOf(bytes, true), "Hello")
      // What follows is none of ours, such as early data.
      assert.strictEqual(reasonOf(Buffer.concat([bytes, ascii("and more")])), "Hello")
    }
  })
})

describe("a server name", () => {
  it("comes in lower case and without its final dot", () => {
    assert.strictEqual(nameOf("A.B-c.Example."), "a.b-c.example")
    assert.strictEqual(nameOf("xn--bcher-kva.example"), "xn--bcher-kva.example")
    assert.strictEqual(nameOf("_sip.my_service.local"), "_sip.my_service.local")
    assert.strictEqual(nameOf("localhost"), "localhost")
    assert.strictEqual(nameOf(`${"a".repeat(63)}.example`), `${"a".repeat(63)}.example`)
  })

  it("is none when it is an address", () => {
    for (const address of ["192.0.2.1", "2001:db8::1", "::"]) assert.isUndefined(nameOf(address))
  })

  it("is refused when it is no host name", () => {
    const bad = [
      "",
      ".",
      "..",
      "a..b",
      ".a",
      "a.b..",
      "-a.example",
      "a-.example",
      "a b",
      "a\0b",
      "bücher.example",
      "a/b",
      "*.a",
      "1.2.3.4.5"
    ]
    for (const name of [...bad, "a".repeat(64), `${"abc.".repeat(64)}de`, "a\r\nb", "[::1]", "a@b"]) {
      assert.strictEqual(reasonOf(records(message({ extensions: [serverName(name)] }))), "server-name", name)
    }
  })

  it("of another kind is passed over, and two of one kind are refused", () => {
    const other = serverName("whatever?!", 1)
    assert.isUndefined(helloOf(records(message({ extensions: [other] }))).serverName)
    const list = (...names: ReadonlyArray<Extension>): Extension => {
      const data = names.flatMap((name) => name.data.slice(2))
      return { type: 0, data: [data.length >>> 8, data.length & 255, ...data] }
    }
    const both = list(other, serverName("a.example"))
    assert.strictEqual(helloOf(records(message({ extensions: [both] }))).serverName, "a.example")
    for (const twice of [[list(serverName("a"), serverName("b"))], [serverName("a"), serverName("a")]]) {
      assert.strictEqual(reasonOf(records(message({ extensions: twice }))), "extension")
    }
  })
})

describe("what is no ClientHello", () => {
  it("is told by its first bytes", () => {
    for (const text of ["GET / HTTP/1.1\r\n", "PRI * HTTP/2.0", "SSH-2.0-x", "\0", "\x15\x03\x01", "PROXY TCP4"]) {
      assert.strictEqual(reasonOf(ascii(text).subarray(0, 1)), "not-tls")
      assert.strictEqual(reasonOf(ascii(text)), "not-tls")
    }
    assert.strictEqual(reasonOf(ascii("\x16\x02")), "not-tls")
    assert.strictEqual(reasonOf(ascii("\x80")), "More")
    assert.strictEqual(reasonOf(ascii("\x80\x2e\x01\x03\x01")), "sslv2")
    assert.strictEqual(reasonOf(ascii("\x80\x2e\x02")), "not-tls")
  })

  it("is told by a wrong record, message or length", () => {
    const ok = message({ extensions: [serverName("a.example")] })
    const at = (index: number, value: number) => ok.map((byte, place) => (place === index ? value : byte))
    assert.strictEqual(reasonOf(ascii("\x16\x03\x01\0\0")), "record")
    assert.strictEqual(reasonOf(ascii("\x16\x03\x01\x40\x01")), "record")
    assert.strictEqual(reasonOf(ascii("\x16\x03\x01\0\x01\x01\x17")), "record")
    assert.strictEqual(reasonOf(ascii("\x16\x03\x01\0\x01\x01\x16\x02")), "record")
    assert.strictEqual(reasonOf(ascii("\x16\x03\x01\0\x05\x02")), "handshake")
    assert.strictEqual(reasonOf(records(at(4, 2))), "handshake")
    // Session, ciphers, compression.
    assert.strictEqual(reasonOf(records(message({ session: 33 }))), "handshake")
    assert.strictEqual(reasonOf(records(at(38, 255))), "handshake")
    assert.strictEqual(reasonOf(records(at(72, 5))), "handshake")
    assert.strictEqual(reasonOf(records(message({ trailer: [0] }))), "handshake")
    for (const data of [[], [0], [0, 0], [0, 9, 0], [0, 3, 0, 0, 1], [0, 2, 9, 1]]) {
      for (const type of [0, 16, 43]) {
        assert.strictEqual(reasonOf(records(message({ extensions: [{ type, data }] }))), "extension", `${type} ${data}`)
      }
    }
    assert.strictEqual(reasonOf(records(message({ extensions: [alpn("h2"), alpn("h2")] }))), "extension")
  })

  it("is told when it would be longer than it may be, before it has come", () => {
    const long = message({ extensions: [{ type: 21, data: Array.from({ length: 16_300 }, () => 0) }] })
    assert.strictEqual(reasonOf(records(long, 16_384).subarray(0, 20)), "too-long")
    // Short enough itself, but in too many records.
    const scattered = records(message({ extensions: [{ type: 21, data: Array.from({ length: 4_000 }, () => 0) }] }), 1)
    assert.isAbove(scattered.length, MAX_HELLO)
    assert.strictEqual(reasonOf(scattered), "too-long")
  })

  it.prop(
    "or one of which any byte was changed, never throws and asks for no more than it may",
    [
      Schema.Struct({
        at: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 300 })),
        value: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 255 }))
      })
    ],
    ([{ at, value }]) => {
      const bytes = Uint8Array.from(hello("db.example.com", "h2", "http/1.1"))
      bytes[at % bytes.length] = value
      assert.oneOf(parse(bytes)._tag, ["More", "Hello", "Malformed"])
      assert.notStrictEqual(parse(bytes, true)._tag, "More")
      const full = new Uint8Array(MAX_HELLO + 5).fill(0x16)
      full.set(bytes)
      assert.notStrictEqual(parse(full)._tag, "More")
    }
  )

  it("is any byte changed at all, by each of its bits", () => {
    const whole = hello("db.example.com", "h2")
    for (let at = 0; at < whole.length; at++) {
      for (let bit = 0; bit < 8; bit++) {
        const bytes = Uint8Array.from(whole)
        bytes[at] = (bytes[at] ?? 0) ^ (1 << bit)
        assert.notStrictEqual(parse(bytes, true)._tag, "More")
      }
    }
  })
})
