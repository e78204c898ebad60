import { execFileSync } from "node:child_process"

export interface UserIds {
  readonly uid: number
  readonly gid: number
}

/** The numbers of a user of this machine; throws when there is none of the name. */
export const userIds = (name: string): UserIds => {
  const id = (flag: string): number => Number(execFileSync("id", [flag, name], { encoding: "utf8" }))
  return { uid: id("-u"), gid: id("-g") }
}

/** Only root may run programs as somebody else. */
export const isRoot = (): boolean => process.getuid?.() === 0
