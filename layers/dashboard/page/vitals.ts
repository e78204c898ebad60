import type { Self } from "../../../src/dashboard/LiveMessage.ts"
import type { LiveView } from "../../../src/dashboard/LiveView.ts"
import { attribute, byId, h, keyed, setText } from "./dom.ts"
import { bytes, duration, number, percent } from "./format.ts"
import type { Tone } from "./words.ts"

interface Vital {
  readonly label: string
  readonly text: string
  /** Of its limit, where it has one. */
  readonly share?: number
  readonly tone?: Tone
}

const OLD_TABLE_MS = 60_000
const OLD_GEO_MS = 30 * 86_400_000
const CERTIFICATE_BAD_MS = 7 * 86_400_000
const CERTIFICATE_WARN_MS = 30 * 86_400_000

const toneOf = (share: number): Tone => (share > 0.9 ? "bad" : share > 0.7 ? "warn" : "good")

const limited = (label: string, text: string, share: number): Vital => ({ label, text, share, tone: toneOf(share) })

const certificateOf = ({ notAfter, source }: NonNullable<Self["certificate"]>, now: number): Vital => {
  const left = notAfter - now
  return {
    label: "First certificate to end",
    text: left > 0 ? `${source}, in ${duration(left)}` : `${source}, ended ${duration(-left)} ago`,
    tone: left < CERTIFICATE_BAD_MS ? "bad" : left < CERTIFICATE_WARN_MS ? "warn" : "good"
  }
}

/** The process, from what matters most. */
const vitalsOf = ({ at, parts: { pop, self, table } }: LiveView): ReadonlyArray<Vital> => {
  if (self === undefined || pop === undefined) return []
  const { loop, transport } = self
  const tableAge = table?.confirmedAt === null || table === undefined ? undefined : at - table.confirmedAt
  const geoAge = self.geoBuiltAt === null ? undefined : at - self.geoBuiltAt
  return [
    {
      label: "Control loop, delay",
      text: `p50 ${number(loop.p50)} ms, p99 ${number(loop.p99)} ms, longest ${number(loop.max)} ms`,
      tone: loop.p99 > 100 ? "bad" : loop.p99 > 30 ? "warn" : "good"
    },
    ...(self.cpu === null ? [] : [{ label: "Processor", text: `${percent(self.cpu)} of one core` }]),
    limited("JavaScript heap", `${bytes(self.heap)} of ${bytes(self.heapLimit)}`, self.heap / self.heapLimit),
    { label: "Memory", text: bytes(self.rss) },
    ...(self.fds === null
      ? []
      : [limited("File descriptors", `${number(self.fds)} of ${number(self.fdLimit)}`, self.fds / self.fdLimit)]),
    {
      label: "Data plane",
      text: `${pop.engine}, ${number(transport.threads)} ${transport.threads === 1 ? "thread" : "threads"}${
        transport.threadsLost > 0 ? `, ${number(transport.threadsLost)} lost` : ""
      }`,
      ...(transport.threadsLost > 0 ? { tone: "bad" as const } : {})
    },
    {
      label: "Data-plane queues",
      text: `${bytes(transport.toThreadsBytes)} to it, ${bytes(transport.fromThreadsBytes)} from it${
        transport.waitingMessages > 0 ? `, ${number(transport.waitingMessages)} messages do not fit` : ""
      }`,
      tone: transport.waitingMessages > 0 ? "bad" : "good"
    },
    { label: "Held for slow receivers", text: `${bytes(transport.heldBytes)}, ${number(transport.pipes)} pipes` },
    {
      label: "Routing table",
      text:
        table === undefined || tableAge === undefined
          ? "not read yet"
          : `version ${number(table.version)} from the ${table.origin}, confirmed ${duration(tableAge)} ago`,
      tone: table?.lost === null && tableAge !== undefined && tableAge < OLD_TABLE_MS ? "good" : "warn"
    },
    ...(table?.lost === null || table === undefined
      ? []
      : [{ label: "Source lost", text: `${table.lost.source}: ${table.lost.detail}`, tone: "bad" as const }]),
    ...(table?.held === null || table === undefined
      ? []
      : [
          {
            label: "Update held",
            text: `it would remove ${number(table.held.lost)} of ${number(table.held.eligible)} backends`,
            tone: "warn" as const
          }
        ]),
    ...(geoAge === undefined
      ? []
      : [
          {
            label: "Geo database",
            text: `${duration(geoAge)} old`,
            tone: geoAge > OLD_GEO_MS ? ("warn" as const) : ("good" as const)
          }
        ]),
    ...(self.certificate === null ? [] : [certificateOf(self.certificate, at)]),
    ...(self.logDropped > 0
      ? [{ label: "Access log", text: `${number(self.logDropped)} lines lost`, tone: "warn" as const }]
      : []),
    {
      label: "Listeners",
      text: pop.listeners.map(([address, app]) => (app === "" ? address : `${address} (${app})`)).join(", ")
    },
    { label: "Running for", text: duration(at - pop.startedAt) }
  ]
}

export const showVitals = (): ((view: LiveView) => void) => {
  const update = keyed(
    byId("vitals", HTMLElement),
    ({ label }: Vital) => label,
    ({ label }) => {
      const text = h("span")
      const bar = h("span", { class: "bar", hidden: true }, h("i"))
      const element = h("div", {}, h("dt", {}, label), h("dd", {}, text, bar))
      const fill = bar.firstElementChild
      return {
        element,
        update: ({ share, text: now, tone }: Vital) => {
          setText(text, now)
          attribute(element, "data-tone", tone)
          attribute(bar, "data-tone", tone)
          bar.hidden = share === undefined
          if (share !== undefined && fill instanceof HTMLElement)
            fill.style.width = `${Math.min(100, share * 100).toFixed(1)}%`
        }
      }
    }
  )
  return (view) => update(vitalsOf(view))
}
