import { seededBytes } from "./bytes.ts"

let made: Buffer | undefined

/** More bytes than all buffers between two ends of a connection hold; made once, since that takes its time. */
export const plenty = (): Buffer => (made ??= seededBytes(1, 40_000_000))
