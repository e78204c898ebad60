import * as Context from "effect/Context"

/** Whoever started the process, and may wait for it. */
export const Parent = Context.Reference<{
  /** It hands over to this process. */
  readonly handsOver: boolean
  /** To be called when its listeners listen. */
  readonly listening: () => void
  /** To be called when it can serve, which needs a table. */
  readonly serving: () => void
}>("edgeproxy/handover/Parent", {
  defaultValue: () => ({ handsOver: false, listening: () => undefined, serving: () => undefined })
})
