import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Scope from "effect/Scope"
import * as dgram from "node:dgram"
import * as net from "node:net"
import * as NodeDnsTransport from "../../layers/dns/NodeDnsTransport.ts"
import { DnsCounters } from "../../src/dns/DnsCounters.ts"
import { DnsTransport } from "../../src/dns/DnsTransport.ts"
import type { Responder } from "../../src/dns/Responder.ts"
import type { Endpoint } from "../../src/traffic/Transport.ts"
import * as Watch from "../support/Watch.ts"

/** Says back what it was asked, and by whom. */
const echo: Responder = (message, from, over) =>
  message[0] === 0 ? undefined : Buffer.concat([message, Buffer.from(` ${from} ${over}`)])

const loopback = { address: "127.0.0.1", port: 0 }

const live = (options: NodeDnsTransport.NodeDnsOptions = {}) =>
  NodeDnsTransport.layer(options).pipe(Layer.provideMerge(DnsCounters.layer))

/** A UDP client; `ask` waits for the next answer. */
const udp = Effect.fnUntraced(function* (to: Endpoint) {
  const watch = Watch.make()
  const answers: Array<{ readonly text: string; readonly from: string }> = []
  const socket = yield* Effect.acquireRelease(
    Effect.sync(() => dgram.createSocket(to.address.includes(":") ? "udp6" : "udp4")),
    (socket) => Effect.sync(() => socket.close())
  )
  socket.on("message", (message, { address }) => {
    answers.push({ text: message.toString(), from: address })
    watch.touch()
  })
  return {
    ask: (text: string) => {
      const before = answers.length
      socket.send(text, to.port, to.address)
      return watch.until(`an answer to ${text}`, () => answers[before])
    },
    send: (text: string) => socket.send(text, to.port, to.address)
  }
})

const framed = (text: string): Buffer => {
  const bytes = Buffer.from(text)
  return Buffer.concat([Buffer.from([bytes.length >> 8, bytes.length & 255]), bytes])
}

/** A TCP client. */
const tcp = Effect.fnUntraced(function* (to: Endpoint, options: Partial<net.TcpSocketConnectOpts> = {}) {
  const watch = Watch.make()
  let received = Buffer.alloc(0)
  let closed = false
  const socket = yield* Effect.acquireRelease(
    Effect.sync(() => net.connect({ host: to.address, port: to.port, allowHalfOpen: true, ...options })),
    (socket) => Effect.sync(() => socket.destroy())
  )
  socket.on("data", (chunk: Buffer) => {
    received = Buffer.concat([received, chunk])
    watch.touch()
  })
  socket.on("error", () => undefined)
  for (const event of ["end", "close"]) {
    socket.on(event, () => {
      closed = true
      watch.touch()
    })
  }
  const answers = (): ReadonlyArray<string> => {
    const found: Array<string> = []
    for (let at = 0; at + 2 <= received.length;) {
      const length = received.readUInt16BE(at)
      if (at + 2 + length > received.length) break
      found.push(received.subarray(at + 2, at + 2 + length).toString())
      at += 2 + length
    }
    return found
  }
  return {
    socket,
    answers,
    received: () => received.length,
    awaitAnswers: (count: number) => watch.until(`${count} answers`, () => answers().length >= count && answers()),
    awaitClosed: watch.until("the end", () => closed)
  }
})

describe("DNS sockets", () => {
  it.live("answer over UDP and TCP on one port", () =>
    Effect.gen(function* () {
      const { listen } = yield* DnsTransport
      const { address } = yield* listen(loopback, echo)
      assert.strictEqual((yield* (yield* udp(address)).ask("a")).text, "a 127.0.0.1 udp")
      const client = yield* tcp(address)
      client.socket.write(framed("b"))
      assert.deepStrictEqual(yield* client.awaitAnswers(1), ["b 127.0.0.1 tcp"])
    }).pipe(Effect.provide(live()))
  )

  it.live("answer over IPv6", () =>
    Effect.gen(function* () {
      const { listen } = yield* DnsTransport
      const { address } = yield* listen({ address: "::1", port: 0 }, echo)
      assert.strictEqual((yield* (yield* udp(address)).ask("a")).text, "a ::1 udp")
      const client = yield* tcp(address)
      client.socket.write(framed("b"))
      assert.deepStrictEqual(yield* client.awaitAnswers(1), ["b ::1 tcp"])
    }).pipe(Effect.provide(live()))
  )

  it.live("of a wildcard answer from the address that was asked, a new one of the host's soon too", () =>
    Effect.gen(function* () {
      const { listen } = yield* DnsTransport
      const { address } = yield* listen({ address: "0.0.0.0", port: 0 }, echo)
      const at = (host: string) => ({ address: host, port: address.port })
      assert.strictEqual((yield* (yield* udp(at("127.0.0.1"))).ask("a")).from, "127.0.0.1")
      assert.strictEqual((yield* (yield* udp(at("127.0.0.2"))).ask("a")).from, "127.0.0.2")
      hosts.add("127.0.0.3")
      const late = yield* udp(at("127.0.0.3"))
      const answered = Effect.suspend(() => late.ask("b")).pipe(Effect.timeout(200), Effect.retry({ times: 50 }))
      assert.strictEqual((yield* answered).from, "127.0.0.3")
      const client = yield* tcp(at("127.0.0.2"))
      client.socket.write(framed("c"))
      yield* client.awaitAnswers(1)
    }).pipe(Effect.provide(live({ hostAddresses: () => [...hosts], lookMs: 20 })))
  )
  const hosts = new Set(["127.0.0.1", "127.0.0.2", "fe80::1"])

  it.live(
    "of a wildcard begin without an address that is not usable yet, as IPv6 ones at boot, and say so once",
    () => {
      const lines: Array<string> = []
      const logger = Logger.make<unknown, void>(({ message }) => void lines.push(String(message)))
      let looks = 0
      const hostAddresses = () => {
        looks++
        return ["127.0.0.1", "192.0.2.77"]
      }
      return Effect.gen(function* () {
        const { listen } = yield* DnsTransport
        const { address } = yield* listen({ address: "0.0.0.0", port: 0 }, echo)
        const { from } = yield* (yield* udp({ address: "127.0.0.1", port: address.port })).ask("a")
        assert.strictEqual(from, "127.0.0.1")
        while (looks < 4) yield* Effect.sleep(5)
        assert.lengthOf(
          lines.filter((line) => line.includes("192.0.2.77")),
          1
        )
      }).pipe(Effect.provide(Layer.merge(live({ hostAddresses, lookMs: 5 }), Logger.layer([logger]))))
    }
  )

  it.live("that can't be opened are an error, and leave nothing behind", () =>
    Effect.gen(function* () {
      const { listen } = yield* DnsTransport
      const taken = dgram.createSocket("udp4")
      yield* Effect.callback<void>((resume) => void taken.bind(0, "127.0.0.78", () => resume(Effect.void)))
      const { port } = taken.address()
      const failed = yield* Effect.flip(Effect.scoped(listen({ address: "127.0.0.78", port }, echo)))
      assert.strictEqual(failed.reason, "InUse")
      yield* Effect.callback<void>((resume) => void taken.close(() => resume(Effect.void)))
      yield* Effect.scoped(listen({ address: "127.0.0.78", port }, echo))
      yield* Effect.scoped(listen({ address: "127.0.0.78", port }, echo))
      assert.strictEqual(
        (yield* Effect.flip(Effect.scoped(listen({ address: "192.0.2.1", port }, echo)))).reason,
        "BadAddress"
      )
    }).pipe(Effect.provide(live()))
  )
})

describe("DNS over TCP", () => {
  it.live("answers a thousand questions sent at once, in order and cut anywhere", () =>
    Effect.gen(function* () {
      const { listen } = yield* DnsTransport
      const { address } = yield* listen(loopback, echo)
      const client = yield* tcp(address)
      const all = Buffer.concat(Array.from({ length: 1_000 }, (_, index) => framed(`question ${index}`)))
      for (let at = 0; at < all.length; at += 977) client.socket.write(all.subarray(at, at + 977))
      // It may finish sending before it reads.
      client.socket.end()
      const answers = yield* client.awaitAnswers(1_000)
      for (const [index, answer] of answers.entries()) assert.strictEqual(answer, `question ${index} 127.0.0.1 tcp`)
      yield* client.awaitClosed
    }).pipe(Effect.provide(live()))
  )

  it.live("takes a question that comes byte by byte", () =>
    Effect.gen(function* () {
      const { listen } = yield* DnsTransport
      const { address } = yield* listen(loopback, echo)
      const client = yield* tcp(address)
      client.socket.setNoDelay()
      for (const byte of framed("slow")) {
        client.socket.write(Uint8Array.of(byte))
        yield* Effect.yieldNow
      }
      assert.deepStrictEqual(yield* client.awaitAnswers(1), ["slow 127.0.0.1 tcp"])
    }).pipe(Effect.provide(live()))
  )

  it.live("hangs up on what is no question, and on one that is too long", () =>
    Effect.gen(function* () {
      const { listen } = yield* DnsTransport
      const { address } = yield* listen(loopback, echo)
      for (const bytes of [framed("\0"), Uint8Array.of(0xff, 0xff, 1), framed("x".repeat(4_097))]) {
        const client = yield* tcp(address)
        client.socket.write(bytes)
        yield* client.awaitClosed
        assert.deepStrictEqual(client.answers(), [])
      }
      const late = yield* tcp(address)
      late.socket.write(Buffer.concat([framed("first"), framed("\0"), framed("never")]))
      yield* late.awaitClosed
      assert.deepStrictEqual(late.answers(), ["first 127.0.0.1 tcp"])
    }).pipe(Effect.provide(live()))
  )

  it.live("hangs up on the silent, on those who never finish and on those who never read", () =>
    Effect.gen(function* () {
      const { listen } = yield* DnsTransport
      const counters = yield* DnsCounters
      const big: Responder = () => new Uint8Array(60_000)
      const { address } = yield* listen(loopback, big)
      const silent = yield* tcp(address)
      const drip = yield* tcp(address)
      drip.socket.write(Uint8Array.of(0, 100, 1))
      const greedy = yield* tcp(address)
      greedy.socket.pause()
      greedy.socket.write(Buffer.concat(Array.from({ length: 5_000 }, () => framed("more"))))
      const reader = yield* tcp(address)
      const asking = yield* Effect.sync(() => reader.socket.write(framed("x"))).pipe(
        Effect.andThen(Effect.sleep(50)),
        Effect.forever,
        Effect.forkScoped
      )
      yield* silent.awaitClosed
      yield* drip.awaitClosed
      greedy.socket.resume()
      yield* greedy.awaitClosed
      assert.isBelow(greedy.received(), 5_000 * 60_000)
      assert.isFalse(reader.socket.readableEnded)
      assert.strictEqual(counters.connections.open, 1)
      void asking
    }).pipe(Effect.provide(live({ limits: { connections: 10, connectionsPerAddress: 10, idleMs: 300 } })))
  )

  it.live("makes room for a new client by hanging up on the one that was silent for longest", () =>
    Effect.gen(function* () {
      const { listen } = yield* DnsTransport
      const counters = yield* DnsCounters
      const { address } = yield* listen(loopback, echo)
      const clients = yield* Effect.forEach([1, 2, 3, 4], (host) =>
        Effect.gen(function* () {
          const client = yield* tcp(address, { localAddress: `127.0.0.${host}` })
          client.socket.write(framed(`hello ${host}`))
          yield* client.awaitAnswers(1)
          return client
        })
      )
      const [first, second] = clients
      if (first === undefined || second === undefined) return assert.fail()
      first.socket.write(framed("again"))
      yield* first.awaitAnswers(2)
      const fifth = yield* tcp(address, { localAddress: "127.0.0.5" })
      yield* second.awaitClosed
      fifth.socket.write(framed("x"))
      yield* fifth.awaitAnswers(1)
      first.socket.write(framed("x"))
      yield* first.awaitAnswers(3)
      assert.deepInclude(counters.connections, { open: 4, total: 5, evicted: 1 })
    }).pipe(Effect.provide(live({ limits: { connections: 4, connectionsPerAddress: 2, idleMs: 10_000 } })))
  )

  it.live("gives one address its part only", () =>
    Effect.gen(function* () {
      const { listen } = yield* DnsTransport
      const { address } = yield* listen(loopback, echo)
      const own = yield* Effect.forEach([1, 2], () => tcp(address))
      for (const client of own) client.socket.write(framed("x"))
      for (const client of own) yield* client.awaitAnswers(1)
      const third = yield* tcp(address)
      yield* own[0]?.awaitClosed ?? Effect.void
      third.socket.write(framed("x"))
      yield* third.awaitAnswers(1)
      const other = yield* tcp(address, { localAddress: "127.0.0.9" })
      other.socket.write(framed("x"))
      yield* other.awaitAnswers(1)
    }).pipe(Effect.provide(live({ limits: { connections: 4, connectionsPerAddress: 2, idleMs: 10_000 } })))
  )

  it.live("closes with its scope, clients and all", () =>
    Effect.gen(function* () {
      const { listen } = yield* DnsTransport
      const scope = yield* Scope.make()
      const { address } = yield* listen(loopback, echo).pipe(Scope.provide(scope))
      const client = yield* tcp(address)
      client.socket.write(framed("x"))
      yield* client.awaitAnswers(1)
      yield* Scope.close(scope, Exit.void)
      yield* client.awaitClosed
      yield* Effect.scoped(listen(address, echo))
    }).pipe(Effect.provide(live()))
  )
})
