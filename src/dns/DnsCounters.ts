import * as Context from "effect/Context"
import * as Layer from "effect/Layer"
import { cellsOf } from "../observe/Metric.ts"
import { RCODE, TYPE } from "./wire.ts"

export const overs = ["udp", "tcp"] as const
export type Over = (typeof overs)[number]

/** Record types that are told apart; all others are one. */
export const types = ["A", "AAAA", "SRV", "NS", "SOA", "ANY", "other"] as const
export type TypeName = (typeof types)[number]

/** Codes that are told apart, and `NODATA`: no error and no answer. */
export const rcodes = ["NOERROR", "NODATA", "NXDOMAIN", "REFUSED", "FORMERR", "NOTIMP", "BADVERS", "SERVFAIL"] as const
export type RcodeName = (typeof rcodes)[number]

/** `limited`: beyond the rate; `no-query`: an answer or too short to be anything; `busy`: the socket took no more. */
export const drops = ["limited", "no-query", "busy"] as const
export type Drop = (typeof drops)[number]

/** Seconds; most answers take some ten microseconds. */
export const ANSWER_BOUNDS = [0.000_005, 0.000_01, 0.000_02, 0.000_05, 0.000_1, 0.000_2, 0.000_5, 0.001, 0.01]

const zeros = <A extends string>(names: ReadonlyArray<A>): Record<A, number> =>
  // Object.fromEntries forgets the key type; these are exactly the names.
  Object.fromEntries(names.map((name) => [name, 0])) as Record<A, number>

/** What has happened to DNS questions, in plain numbers that only grow. */
export class DnsCounters extends Context.Service<
  DnsCounters,
  {
    /** Understood as far as their type. */
    readonly questions: Readonly<Record<Over, Record<TypeName, number>>>
    readonly answers: Readonly<Record<Over, Record<RcodeName, number>>>
    /** Answers cut down to the word that TCP has all of it. */
    readonly truncated: { count: number }
    /** Of answers beyond the rate those that say: come over TCP. */
    readonly slipped: { count: number }
    readonly dropped: Record<Drop, number>
    readonly connections: { open: number; total: number; evicted: number }
    /** How long answering takes: one of many is measured. */
    readonly answerCells: Float64Array
  }
>()("edgeproxy/dns/DnsCounters") {
  static readonly layer: Layer.Layer<DnsCounters> = Layer.sync(DnsCounters, () => make())
}

export const make = (): DnsCounters["Service"] => ({
  questions: { udp: zeros(types), tcp: zeros(types) },
  answers: { udp: zeros(rcodes), tcp: zeros(rcodes) },
  truncated: { count: 0 },
  slipped: { count: 0 },
  dropped: zeros(drops),
  connections: { open: 0, total: 0, evicted: 0 },
  answerCells: new Float64Array(cellsOf(ANSWER_BOUNDS))
})

export const typeName = (type: number): TypeName => {
  switch (type) {
    case TYPE.A:
      return "A"
    case TYPE.AAAA:
      return "AAAA"
    case TYPE.SRV:
      return "SRV"
    case TYPE.NS:
      return "NS"
    case TYPE.SOA:
      return "SOA"
    case TYPE.ANY:
      return "ANY"
    default:
      return "other"
  }
}

export const rcodeName = (rcode: number, records: number): RcodeName => {
  switch (rcode) {
    case RCODE.NOERROR:
      return records > 0 ? "NOERROR" : "NODATA"
    case RCODE.NXDOMAIN:
      return "NXDOMAIN"
    case RCODE.REFUSED:
      return "REFUSED"
    case RCODE.FORMERR:
      return "FORMERR"
    case RCODE.NOTIMP:
      return "NOTIMP"
    case RCODE.BADVERS:
      return "BADVERS"
    default:
      return "SERVFAIL"
  }
}
