/** Who this POP is. */
export interface Identity {
  readonly version: string
  readonly pop: string
  readonly region: string
}
