import { edgeKinds } from "./edgeKinds.ts"
import type { BenchOptions } from "./Measure.ts"
import { otherKinds } from "./otherKinds.ts"
import * as procfs from "./procfs.ts"
import type { ProxyKind } from "./Proxy.ts"

const isWanted =
  ({ proxies, quick }: BenchOptions) =>
  ({ name, slow = false }: ProxyKind): boolean =>
    proxies.length === 0 ? !(quick && slow) : proxies.some((prefix) => name.startsWith(prefix))

/** Of these those that were asked for, as far as the machine has them, and a reason for each that it has not. */
export const kindsOf = (kinds: (options: BenchOptions) => ReadonlyArray<ProxyKind>) => (options: BenchOptions) => {
  const all = kinds(options).filter(isWanted(options))
  const reasons = all.map((kind) => (procfs.available ? kind.missing() : "no /proc on this system"))
  return {
    present: all.filter((_, i) => reasons[i] === undefined),
    missing: all.flatMap(({ name }, i) => (reasons[i] === undefined ? [] : [`${name} is not measured: ${reasons[i]}`]))
  }
}

export const kinds = kindsOf((options) => [...edgeKinds(options), ...otherKinds])
