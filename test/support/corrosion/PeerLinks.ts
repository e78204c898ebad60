import { changesAfter, decodeRow, encodeRow } from "./merge.ts"
import type { RowState } from "./merge.ts"
import type { Database } from "./Database.ts"
import { isObject, parseJson } from "./json.ts"

/** Where agents take changes from each other: no path of Corrosion's. */
export const PEER_PATH = "/__peer"

const BATCH_ROWS = 5_000
const RETRY_MS = 50

interface Link {
  cut: boolean
  /** What the peer has of this node, and which peer it was. */
  sent: number
  actor: string | undefined
  /** How many peers there were before this one. */
  peers: number
  busy: boolean
  again: boolean
}

/** The links of an agent to others: what changes here goes there, after a delay, while the link is not cut. */
export class PeerLinks {
  readonly #database: Database
  readonly #url: () => string
  readonly #receive: (rows: ReadonlyArray<RowState>) => void
  readonly #links = new Map<string, Link>()
  readonly #timers = new Set<NodeJS.Timeout>()
  #stopped = false
  delayMs = 0

  constructor(database: Database, url: () => string, receive: (rows: ReadonlyArray<RowState>) => void) {
    this.#database = database
    this.#url = url
    this.#receive = receive
  }

  link(peer: string): void {
    const known = this.#links.get(peer)
    if (known === undefined) {
      this.#links.set(peer, { cut: false, sent: -1, actor: undefined, peers: 0, busy: false, again: false })
      this.#wake(peer)
    } else if (known.sent < 0) this.#wake(peer)
  }

  cut(peer: string | undefined): void {
    for (const [url, link] of this.#links) if (peer === undefined || url === peer) link.cut = true
  }

  heal(peer: string | undefined): void {
    for (const [url, link] of this.#links) if (peer === undefined || url === peer) link.cut = false
    this.wake()
  }

  /** There is something to send. */
  wake(): void {
    for (const peer of this.#links.keys()) this.#wake(peer)
  }

  stop(): void {
    this.#stopped = true
    for (const timer of this.#timers) clearTimeout(timer)
    this.#timers.clear()
  }

  start(): void {
    this.#stopped = false
    for (const link of this.#links.values()) link.busy = false
    this.wake()
  }

  /** What a peer sent; the answer to it. */
  accept(body: string): { readonly status: number; readonly text: string } {
    const json = parseJson(body)
    if (!isObject(json) || typeof json["from"] !== "string" || !Array.isArray(json["rows"])) {
      return { status: 400, text: "" }
    }
    const { actor, from } = json
    if (this.#links.get(from)?.cut === true) return { status: 503, text: "" }
    const rows = json["rows"].map(decodeRow).filter((row) => row !== undefined)
    if (rows.length > 0) this.#receive(rows)
    const link = this.#links.get(from)
    // Another agent than the one that had the changes.
    if (link?.actor !== undefined && link.actor !== actor) {
      link.actor = undefined
      link.sent = -1
      link.peers++
    }
    this.link(from)
    return { status: 200, text: this.#database.actorId }
  }

  #wake(peer: string): void {
    const link = this.#links.get(peer)
    if (link === undefined || link.cut || this.#stopped) return
    if (link.busy) link.again = true
    else {
      link.busy = true
      this.#later(this.delayMs, () => void this.#push(peer, link))
    }
  }

  #later(ms: number, run: () => void): void {
    const timer = setTimeout(() => {
      this.#timers.delete(timer)
      run()
    }, ms)
    this.#timers.add(timer)
  }

  async #push(peer: string, link: Link): Promise<void> {
    link.again = false
    const sent = !link.cut && (await this.#send(peer, link))
    if (this.#stopped || link.cut) link.busy = false
    else if (!sent) this.#later(RETRY_MS, () => void this.#push(peer, link))
    else {
      link.busy = false
      if (link.again) this.#wake(peer)
    }
  }

  /** Whether the peer has all now. */
  async #send(peer: string, link: Link): Promise<boolean> {
    const { peers } = link
    const { rows, seq } = changesAfter(this.#database, link.sent)
    for (let at = 0; at === 0 || at < rows.length; at += BATCH_ROWS) {
      const part = rows.slice(at, at + BATCH_ROWS).map(encodeRow)
      const body = `{"from":${JSON.stringify(this.#url())},"actor":"${this.#database.actorId}","rows":[${part.join(",")}]}`
      const actor = await post(peer, body)
      if (actor === undefined) return false
      const isAnother = link.actor !== undefined && link.actor !== actor
      link.actor = actor
      if (isAnother) {
        link.sent = -1
        return false
      }
    }
    if (link.peers === peers) link.sent = seq
    return link.peers === peers
  }
}

const post = (peer: string, body: string): Promise<string | undefined> =>
  fetch(peer + PEER_PATH, { method: "POST", body }).then(
    (response) => (response.ok ? response.text() : undefined),
    () => undefined
  )
