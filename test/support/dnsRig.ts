import * as NetAddress from "effect/net/NetAddress"
import type { Region } from "../../src/domain/Region.ts"
import { type ClientGeo, unknownGeo } from "../../src/domain/Score.ts"
import { mix, unit } from "../../src/domain/Hash.ts"
import * as Cookies from "../../src/dns/Cookies.ts"
import * as DnsCounters from "../../src/dns/DnsCounters.ts"
import * as MemberIndex from "../../src/dns/MemberIndex.ts"
import * as Responder from "../../src/dns/Responder.ts"
import * as Zone from "../../src/dns/Zone.ts"
import * as Upstreams from "../../src/routing/Upstreams.ts"
import * as RateLimit from "../../src/traffic/RateLimit.ts"
import { question, type QuestionOptions, type ReadMessage, readMessage } from "./dnsMessage.ts"
import { geoOf } from "./fixtures.ts"

export interface DnsRigOptions {
  readonly zone?: string
  readonly ttlSecs?: number
  readonly rate?: number
  readonly spillAt?: "hard" | "soft"
  readonly panicThreshold?: number
  readonly pops?: Readonly<Partial<Record<Region, ReadonlyArray<string>>>>
}

/** Countries of a few addresses. */
const countries: Readonly<Record<string, string>> = {
  "198.51.100": "BR",
  "203.0.113": "DE",
  "192.0.2": "US"
}

export const secret = new Uint8Array(16).fill(7)

/** A responder of a POP in `sa` over backends that the test puts. */
export const dnsRig = (options: DnsRigOptions = {}) => {
  const upstreams = Upstreams.make({
    spillAt: options.spillAt ?? "hard",
    panicThreshold: options.panicThreshold ?? 0
  })
  const counters = DnsCounters.make()
  const zone = options.zone ?? "internal"
  const asked: Array<string> = []
  const state = { now: 0, wallSecs: 1_559_731_985, loaded: true }
  const rate = options.rate ?? 1_000_000
  let drawn = 0
  const places = Object.entries(options.pops ?? {}) as ReadonlyArray<[Region, ReadonlyArray<string>]>
  const responder = Responder.make({
    zoneName: zone.split("."),
    zone: Zone.make(upstreams, () => state.loaded, {
      popRegion: "sa",
      indexes: MemberIndex.make(),
      spillAt: () => options.spillAt ?? "hard",
      pops: places.map(([region, addresses]) => [region, addresses.map((text) => NetAddress.ipFromStringUnsafe(text))]),
      random: () => unit(mix(drawn++))
    }),
    ttlSecs: options.ttlSecs ?? 30,
    geo: ({ address }): ClientGeo => {
      asked.push(address)
      const country = countries[address.split(".").slice(0, 3).join(".")]
      return country === undefined ? unknownGeo : geoOf(country)
    },
    limit: RateLimit.make({ burst: rate, perMs: rate / 1_000 }, { seed: 1, clients: 1_024 }),
    cookies: Cookies.make(secret),
    counters,
    now: () => state.now,
    wallSecs: () => state.wallSecs
  })
  const send = (bytes: Uint8Array, from = "10.9.9.9", over: DnsCounters.Over = "udp"): ReadMessage | undefined => {
    const answered = responder(bytes, from, over)
    return answered === undefined ? undefined : readMessage(answered)
  }
  const ask = (
    name: string,
    more: QuestionOptions & { readonly from?: string; readonly over?: DnsCounters.Over } = {}
  ): ReadMessage => {
    const answered = send(question(name, more), more.from, more.over)
    if (answered === undefined) throw new Error("no answer")
    return answered
  }
  /** The data of the answers. */
  const texts = (...args: Parameters<typeof ask>): ReadonlyArray<string> => ask(...args).answers.map(({ text }) => text)
  return { upstreams, counters, state, asked, responder, send, ask, texts }
}
