import type { Cells, QueryEvent, Unreadable } from "./QueryEvent.ts"

/** How far a client of one subscription has come; the rows are the `RowTable`'s. */
export interface SubscriptionState {
  /**
   * `closed`: no answer yet. `head`: rows must come before changes. `snapshot`: rows are coming. `live`: the rows are those of
   * `last`, changes follow.
   */
  readonly phase: "closed" | "head" | "snapshot" | "live"
  /** Of the subscription that `last` belongs to; undefined when there is none to go on with. */
  readonly id: string | undefined
  /** The last change that is in the rows; 0 for none. */
  readonly last: number
  /** This connection has gone on where another ended, and nothing has come on it. */
  readonly resumed: boolean
  /** `last` when a gap came after it; another one there is no accident. */
  readonly gapAfter: number | undefined
}

export const initial: SubscriptionState = {
  phase: "closed",
  id: undefined,
  last: 0,
  resumed: false,
  gapAfter: undefined
}

export type SubscriptionInput =
  /** 200, with the id of its header. */
  | { readonly _tag: "Opened"; readonly id: string | undefined }
  /** Any other status. */
  | { readonly _tag: "Refused"; readonly status: number }
  /** A line; undefined when it is none. */
  | { readonly _tag: "Line"; readonly event: QueryEvent | undefined }
  /** No connection, or it is over: end of body, reset, the middle of a line, no sign of life. */
  | { readonly _tag: "Ended" }
  /** What it has told is not what the table says, or the rows are no longer those of `last`. */
  | { readonly _tag: "Distrusted" }

export type SubscriptionCommand =
  | { readonly _tag: "None" }
  /** Collect the rows of a snapshot; those so far stay in use. */
  | { readonly _tag: "Begin"; readonly columns: ReadonlyArray<string> }
  | { readonly _tag: "Add"; readonly rowid: number; readonly cells: Cells | Unreadable }
  /** Use the collected ones instead of those so far. */
  | { readonly _tag: "Swap" }
  | { readonly _tag: "Put"; readonly rowid: number; readonly cells: Cells | Unreadable }
  | { readonly _tag: "Delete"; readonly rowid: number }
  /** Leave this connection; `slow` where a person has to do something first. */
  | { readonly _tag: "Reconnect"; readonly pace: "now" | "backoff" | "slow"; readonly why: string }

export interface SubscriptionStep {
  readonly state: SubscriptionState
  readonly command: SubscriptionCommand
}

/** What to ask for next: where it was left, or from the beginning. Never the agent's `skip_rows`, which loses changes. */
export type SubscriptionRequest =
  | { readonly _tag: "Create" }
  | { readonly _tag: "Resume"; readonly id: string; readonly from: number }

// From 0 is from the beginning as well, but of a subscription that may be gone.
export const requestOf = ({ id, last }: SubscriptionState): SubscriptionRequest =>
  id === undefined || last === 0 ? { _tag: "Create" } : { _tag: "Resume", id, from: last }

const leave = (state: SubscriptionState, pace: "now" | "backoff" | "slow", why: string): SubscriptionStep => ({
  state: { ...state, phase: "closed", resumed: false },
  command: { _tag: "Reconnect", pace, why }
})

const startOver = (pace: "now" | "backoff" | "slow", why: string): SubscriptionStep => leave(initial, pace, why)

const none: SubscriptionCommand = { _tag: "None" }

/** The client's half of a subscription, without its connections and rows. */
export const step = (state: SubscriptionState, input: SubscriptionInput): SubscriptionStep => {
  switch (input._tag) {
    case "Opened": {
      const request = requestOf(state)
      return request._tag === "Resume" && request.id === input.id
        ? { state: { ...state, phase: "live", resumed: true }, command: none }
        : { state: { ...initial, phase: "head", id: input.id }, command: none }
    }
    case "Refused": {
      const { status } = input
      const why = `HTTP ${status}`
      if (requestOf(state)._tag === "Resume" && (status === 404 || status === 400)) return startOver("now", why)
      return leave(state, status >= 500 || status === 429 ? "backoff" : "slow", why)
    }
    case "Line":
      return input.event === undefined
        ? startOver("backoff", "a line that is none of a subscription")
        : take(state, input.event)
    case "Ended":
      return leave(state, "backoff", "the stream has ended")
    case "Distrusted":
      return startOver("now", "the table says something else")
  }
}

const take = (state: SubscriptionState, event: QueryEvent): SubscriptionStep => {
  const { phase } = state
  switch (event._tag) {
    case "Columns":
      return { state: { ...state, phase: "snapshot", resumed: false }, command: { ...event, _tag: "Begin" } }
    case "Row":
      return phase === "snapshot" ? { state, command: { ...event, _tag: "Add" } } : startOver("backoff", "a stray row")
    case "Eoq":
      return phase === "snapshot" && event.changeId !== undefined
        ? { state: { ...state, phase: "live", last: event.changeId, gapAfter: undefined }, command: { _tag: "Swap" } }
        : startOver("backoff", "a stray end of rows")
    case "Change": {
      // An agent that has another subscription for us says so by its id, and must send the rows first.
      if (phase !== "live")
        return startOver(phase === "head" ? "now" : "backoff", "a change before the end of the rows")
      return change(state, event)
    }
    case "Error":
      // It may be that what was missed is no longer kept.
      return state.resumed ? startOver("now", event.error) : leave(state, "backoff", event.error)
    case "Other":
      return { state, command: none }
  }
}

const change = (
  state: SubscriptionState,
  { cells, changeId, kind, rowid }: Extract<QueryEvent, { _tag: "Change" }>
): SubscriptionStep => {
  const { gapAfter, last, resumed } = state
  if (changeId === last + 1) {
    return {
      state: { ...state, last: changeId, resumed: false },
      command: kind === "put" ? { _tag: "Put", rowid, cells } : { _tag: "Delete", rowid }
    }
  }
  // Again what was told on this connection. On one that goes on where another ended it is the first: the agent counts anew.
  if (changeId === last && !resumed) return { state, command: none }
  if (changeId <= last) return startOver("now", `change ${changeId} after ${last}`)
  const why = `change ${changeId} after ${last}, without those between`
  return gapAfter === last ? startOver("now", why) : leave({ ...state, gapAfter: last }, "now", why)
}
