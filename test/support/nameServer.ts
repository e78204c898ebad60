import * as Effect from "effect/Effect"
import * as dgram from "node:dgram"
import { RCODE, TYPE } from "../../src/dns/wire.ts"
import { addressBytes } from "../../src/dns/address.ts"
import { nameBytes } from "./dnsMessage.ts"

/** What a name has; without a record of the type asked for it is empty. */
export interface Entry {
  readonly a?: ReadonlyArray<string>
  readonly aaaa?: ReadonlyArray<string>
  readonly srv?: ReadonlyArray<readonly [priority: number, weight: number, port: number, target: string]>
  readonly ttl?: number
  /** Instead of an answer; `silent` says nothing. */
  readonly fails?: keyof typeof RCODE | "silent"
  /** Of questions for IPv6 addresses only. */
  readonly aaaaFails?: keyof typeof RCODE
}

const word = (value: number): ReadonlyArray<number> => [(value >> 8) & 255, value & 255]

const recordsOf = (entry: Entry, type: number): ReadonlyArray<ReadonlyArray<number>> => {
  switch (type) {
    case TYPE.A:
      return (entry.a ?? []).map((address) => [...addressBytes(address)])
    case TYPE.AAAA:
      return (entry.aaaa ?? []).map((address) => [...addressBytes(address)])
    case TYPE.SRV:
      return (entry.srv ?? []).map(([priority, weight, port, target]) => [
        ...word(priority),
        ...word(weight),
        ...word(port),
        ...nameBytes(target)
      ])
    default:
      return []
  }
}

/** A name server whose names the test changes as it goes. */
export const nameServer = Effect.gen(function* () {
  const names = new Map<string, Entry>()
  let asked = 0
  const socket = yield* Effect.acquireRelease(
    Effect.callback<dgram.Socket>((resume) => {
      const socket = dgram.createSocket("udp4")
      socket.bind(0, "127.0.0.1", () => resume(Effect.succeed(socket)))
    }),
    (socket) => Effect.sync(() => socket.close())
  )
  socket.on("message", (message, { address, port }) => {
    asked++
    const labels: Array<string> = []
    let at = 12
    for (let length = message[at] ?? 0; length > 0; length = message[at] ?? 0) {
      labels.push(
        message
          .subarray(at + 1, at + 1 + length)
          .toString()
          .toLowerCase()
      )
      at += length + 1
    }
    const type = message.readUInt16BE(at + 1)
    const entry = names.get(labels.join("."))
    if (entry?.fails === "silent") return
    const failure = type === TYPE.AAAA ? (entry?.aaaaFails ?? entry?.fails) : entry?.fails
    const rcode = entry === undefined ? RCODE.NXDOMAIN : RCODE[failure ?? "NOERROR"]
    const records = entry === undefined || rcode !== RCODE.NOERROR ? [] : recordsOf(entry, type)
    const head = [...message.subarray(0, 2), 0x81, 0x80 | rcode, 0, 1, ...word(records.length), 0, 0, 0, 0]
    const body = records.flatMap((data) => [
      0xc0,
      12,
      ...word(type),
      ...word(1),
      ...word(0),
      ...word(entry?.ttl ?? 1),
      ...word(data.length),
      ...data
    ])
    socket.send(Uint8Array.from([...head, ...message.subarray(12, at + 5), ...body]), port, address)
  })
  const { port } = socket.address()
  return { address: `127.0.0.1:${port}`, names, asked: () => asked }
})
