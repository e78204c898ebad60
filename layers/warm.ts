/** Of the descriptors of the process, one in so many may be of a connection opened ahead. */
const FD_SHARE = 16
const MOST_AT_ONCE = 4_096

/** Connections opened ahead at one time, for all backends together. */
export const warmAtOnce = (fdLimit: number): number => Math.min(MOST_AT_ONCE, Math.floor(fdLimit / FD_SHARE))
