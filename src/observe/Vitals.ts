/** What the process takes of its machine. */
export interface Vitals {
  /** Processor time since the start, of all threads, in seconds. */
  readonly cpuSeconds: number
  /** Memory in RAM, bytes. */
  readonly rss: number
  /** JavaScript heap in use and at its most, bytes. */
  readonly heap: number
  readonly heapLimit: number
  /** Open file descriptors; undefined where the system does not tell. */
  readonly fds: number | undefined
  readonly fdLimit: number
}
