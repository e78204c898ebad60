import { observe } from "../observe/Metric.ts"
import type { RateLimit } from "../traffic/RateLimit.ts"
import { type Client, type ClientKey, clientFromText } from "../domain/Client.ts"
import type { ClientGeo } from "../domain/Score.ts"
import { addressBytes } from "./address.ts"
import type { Answer } from "./Answer.ts"
import { clientOf } from "./ClientSubnet.ts"
import type { Cookies } from "./Cookies.ts"
import { ANSWER_BOUNDS, type DnsCounters, type Over, rcodeName, typeName } from "./DnsCounters.ts"
import { MessageWriter, type Soa } from "./MessageWriter.ts"
import { type Edns, isForeignEdns, type Query, readQuery, type Refusal } from "./Query.ts"
import { CLASS_IN, FLAG, PLAIN_UDP_BYTES, RCODE, UDP_BYTES } from "./wire.ts"
import type { Zone } from "./Zone.ts"

export interface ResponderParts {
  /** The zone's own name, in lower case. */
  readonly zoneName: ReadonlyArray<string>
  readonly zone: Zone
  readonly ttlSecs: number
  readonly geo: (client: Client) => ClientGeo
  /** Of answers over UDP to those who may not be who they say. */
  readonly limit: Pick<RateLimit, "take">
  readonly cookies: Cookies
  readonly counters: DnsCounters["Service"]
  /** Monotonic milliseconds. */
  readonly now: () => number
  /** Seconds since 1970. */
  readonly wallSecs: () => number
}

/** The answer to a message, or undefined when there is none to give. Synchronous; `from` is the peer's address. */
export type Responder = (message: Uint8Array, from: string, over: Over) => Uint8Array | undefined

/** One of so many answers is measured. */
const MEASURED = 16

/** One of so many answers beyond the rate is sent after all, cut to "come over TCP": whoever is real does (BIND's slip). */
const SLIP = 2

const TCP_BYTES = 65_535

/** Whole networks share a rate, since their addresses are easily forged: /24 and /56, as in BIND's response rate limiting. */
const networkOf = ({ family, hi, lo }: ClientKey): ClientKey => ({ family, hi, lo: (lo & 0xffffff00) >>> 0 })

/** Answers what was not read further. */
const plainEdns: Edns = { version: 0, payloadBytes: 0, dnssecOk: false, subnet: undefined, cookie: undefined }

const nothing: Answer = { rcode: RCODE.NOERROR, records: [], additional: [], tailored: false }
const failure = (rcode: number): Answer => ({ ...nothing, rcode })
const badVersion = failure(RCODE.BADVERS)
const refused = failure(RCODE.REFUSED)

/** Answers for one zone (N1, N2): reads, decides, writes. A question takes some ten microseconds and is never waited for. */
export const make = (parts: ResponderParts): Responder => {
  const { cookies, counters, geo, limit, now, ttlSecs, wallSecs, zone, zoneName } = parts
  const writer = new MessageWriter(zoneName)
  let measure = 0
  let limited = 0

  const nameBelow = (labels: ReadonlyArray<string>): ReadonlyArray<string> | undefined => {
    const own = labels.length - zoneName.length
    if (own < 0) return undefined
    for (let at = 0; at < zoneName.length; at++) if (labels[own + at] !== zoneName[at]) return undefined
    return labels.slice(0, own)
  }

  // The time serves as serial: the zone changes all the time and nobody transfers it, and at all POPs it is the same.
  const soaNow = (): Soa => ({ serial: wallSecs() >>> 0, negativeSecs: ttlSecs })

  const refuse = (message: Uint8Array, { flags, hasEdns, id, questionEnd, rcode }: Refusal, over: Over): Uint8Array => {
    counters.answers[over][rcodeName(rcode, 0)]++
    writer.begin(message, questionEnd)
    if (hasEdns) writer.edns(plainEdns, rcode, 0, undefined)
    writer.header(id, FLAG.QR | (flags & (0x7800 | FLAG.RD | FLAG.CD)) | rcode)
    return writer.finish()
  }

  const write = (message: Uint8Array, query: Query, answer: Answer, over: Over, cookie: Uint8Array | undefined) => {
    const { edns, flags, id, questionEnd } = query
    const isOurs = answer !== refused && answer !== badVersion
    const soa = soaNow()
    const room =
      over === "tcp" ? TCP_BYTES : Math.min(UDP_BYTES, Math.max(PLAIN_UDP_BYTES, edns?.payloadBytes ?? PLAIN_UDP_BYTES))
    const ednsBytes =
      edns === undefined ? 0 : 11 + (edns.subnet === undefined ? 0 : 24) + (cookie === undefined ? 0 : 28)
    const end = room - ednsBytes
    writer.begin(message, questionEnd)
    let written = 0
    for (const record of answer.records) if (writer.answer(record, ttlSecs, soa)) written++
    const isNegative = isOurs && written === 0 && (answer.rcode === RCODE.NOERROR || answer.rcode === RCODE.NXDOMAIN)
    if (isNegative) writer.authority(ttlSecs, soa)
    const truncated = writer.mark() > end
    if (truncated) {
      counters.truncated.count++
      writer.rewind(questionEnd)
    } else {
      for (const record of answer.additional) writer.additional(record, ttlSecs, soa, end)
    }
    if (edns !== undefined) {
      writer.edns(edns, answer.rcode, answer.tailored ? (edns.subnet?.sourcePrefix ?? 0) : 0, cookie)
    }
    const authoritative = isOurs && answer.rcode !== RCODE.SERVFAIL
    writer.header(
      id,
      FLAG.QR |
        (authoritative ? FLAG.AA : 0) |
        (truncated ? FLAG.TC : 0) |
        (flags & (FLAG.RD | FLAG.CD)) |
        (answer.rcode & 0x0f)
    )
    counters.answers[over][rcodeName(answer.rcode, written)]++
    return writer.finish()
  }

  const slip = (message: Uint8Array, query: Query, cookie: Uint8Array | undefined): Uint8Array | undefined => {
    limited++
    if (limited % SLIP !== 0) {
      counters.dropped.limited++
      return undefined
    }
    counters.slipped.count++
    writer.begin(message, query.questionEnd)
    if (query.edns !== undefined) writer.edns(query.edns, RCODE.NOERROR, 0, cookie)
    writer.header(query.id, FLAG.QR | FLAG.AA | FLAG.TC | (query.flags & (FLAG.RD | FLAG.CD)))
    return writer.finish()
  }

  const decide = (query: Query, client: Client): Answer => {
    if (isForeignEdns(query)) return badVersion
    if (query.class !== CLASS_IN) return refused
    const name = nameBelow(query.labels)
    if (name === undefined) return refused
    const subnet = query.edns?.subnet
    return zone(name, query.type, () => geo((subnet === undefined ? undefined : clientOf(subnet)) ?? client))
  }

  const respond: Responder = (message, from, over) => {
    const client = clientFromText(from)
    const query = readQuery(message)
    if (query === undefined || client === undefined) {
      counters.dropped["no-query"]++
      return undefined
    }
    if ("rcode" in query) {
      if (over === "udp" && !limit.take(networkOf(client.key), now())) {
        counters.dropped.limited++
        return undefined
      }
      return refuse(message, query, over)
    }
    counters.questions[over][typeName(query.type)]++
    const asked = query.edns?.cookie
    let cookie: Uint8Array | undefined
    let isKnown = over === "tcp"
    if (asked !== undefined) {
      const address = addressBytes(client.address)
      isKnown ||= cookies.isValid(asked, address, wallSecs())
      cookie = cookies.make(asked, address, wallSecs())
    }
    if (!isKnown && !limit.take(networkOf(client.key), now())) return slip(message, query, cookie)
    return write(message, query, decide(query, client), over, cookie)
  }

  return (message, from, over) => {
    if (measure++ % MEASURED !== 0) return respond(message, from, over)
    const started = now()
    const answer = respond(message, from, over)
    observe(counters.answerCells, 0, ANSWER_BOUNDS, (now() - started) / 1_000)
    return answer
  }
}
