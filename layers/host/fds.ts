import { opendir, stat } from "node:fs/promises"

const FDS = "/proc/self/fd"

/** Open file descriptors; undefined where there is no /proc. */
export const countFds = async (): Promise<number | undefined> => {
  try {
    // Since Linux 6.2 the directory's size is the number of its entries; before, they have to be counted.
    const { size } = await stat(FDS)
    if (size > 0) return size
    let count = 0
    for await (const _ of await opendir(FDS, { bufferSize: 1_024 })) count++
    // The directory itself was open.
    return count - 1
  } catch {
    return undefined
  }
}
