/** A record's data, its names below the zone (`[]` is the zone itself). */
export type RecordData =
  | { readonly _tag: "Address"; readonly bytes: Uint8Array }
  | {
      readonly _tag: "Srv"
      readonly priority: number
      readonly weight: number
      readonly port: number
      readonly target: ReadonlyArray<string>
    }
  | { readonly _tag: "Ns"; readonly host: ReadonlyArray<string> }
  | { readonly _tag: "Soa" }
  /** Instead of all there is (RFC 8482). */
  | { readonly _tag: "Minimal" }

export interface ZoneRecord {
  /** Undefined: the name that was asked for, in the case in which it was. */
  readonly owner: ReadonlyArray<string> | undefined
  readonly data: RecordData
}

/** What is said to a question, before it is written. */
export interface Answer {
  readonly rcode: number
  readonly records: ReadonlyArray<ZoneRecord>
  /** What the asker would ask next. */
  readonly additional: ReadonlyArray<ZoneRecord>
  /** Another asker may get another one (RFC 7871: its scope is the asker's network). */
  readonly tailored: boolean
}
