/**
 * Values by key, each as its JSON, that remember in which order they have changed: whoever has seen all up to some change
 * is told the later ones, and it does not matter who else is told what. The keys that ever were have to be few.
 */
export interface Changes {
  /** Notes the value; nothing happens when it is what it was. `json` has to be JSON. */
  readonly put: (key: string, json: string) => void
  readonly drop: (key: string) => void
  /** What has changed since then, the longest ago first and at most so many, as one object; undefined when nothing has. */
  readonly since: (cursor: number, most?: number) => Told
}

export interface Told {
  readonly json: string | undefined
  /** What is told now is seen then. */
  readonly cursor: number
}

interface Entry {
  readonly json: string
  readonly change: number
}

const GONE = "null"

export const make = (): Changes => {
  // A map goes through its keys in the order they came in: whatever changes is put at the end.
  const entries = new Map<string, Entry>()
  let change = 0

  const note = (key: string, json: string): void => {
    entries.delete(key)
    entries.set(key, { json, change: ++change })
  }

  return {
    put: (key, json) => {
      if (entries.get(key)?.json !== json) note(key, json)
    },
    drop: (key) => {
      const known = entries.get(key)
      if (known !== undefined && known.json !== GONE) note(key, GONE)
    },
    since: (cursor, most = Infinity) => {
      if (cursor >= change) return { json: undefined, cursor }
      let json = ""
      let count = 0
      let seen = cursor
      for (const [key, entry] of entries) {
        if (entry.change <= cursor) continue
        if (count === most) return { json: `{${json}}`, cursor: seen }
        json += `${count++ === 0 ? "" : ","}${JSON.stringify(key)}:${entry.json}`
        seen = entry.change
      }
      return { json: `{${json}}`, cursor: change }
    }
  }
}
