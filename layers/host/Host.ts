import * as Context from "effect/Context"
import * as Layer from "effect/Layer"
import { readFileSync } from "node:fs"
import { networkInterfaces } from "node:os"

/** What the process has been given by its machine. */
export class Host extends Context.Service<
  Host,
  {
    /** Most file descriptors the process may have. */
    readonly fdLimit: number
    /** Of its interfaces, loopback too. */
    readonly addresses: ReadonlyArray<string>
  }
>()("edgeproxy/host/Host") {
  static readonly layer: Layer.Layer<Host> = Layer.sync(Host, () => ({
    fdLimit: readFdLimit(),
    addresses: Object.values(networkInterfaces()).flatMap((all) => (all ?? []).map(({ address }) => address))
  }))
}

const readFdLimit = (): number => {
  const limit = fromProc() ?? fromReport()
  return limit !== undefined && Number.isFinite(limit) && limit > 0 ? limit : 1_024
}

const number = (text: string | undefined): number | undefined =>
  text === undefined ? undefined : text === "unlimited" ? 1_048_576 : Number(text)

const fromProc = (): number | undefined => {
  try {
    return number(/^Max open files\s+(\S+)/m.exec(readFileSync("/proc/self/limits", "utf8"))?.[1])
  } catch {
    return undefined
  }
}

/** Systems without /proc. */
const fromReport = (): number | undefined => {
  const report: unknown = process.report.getReport()
  const limits = (report as { userLimits?: { open_files?: { soft?: string | number } } }).userLimits
  return number(limits?.open_files?.soft?.toString())
}
