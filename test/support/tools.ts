import { accessSync, constants } from "node:fs"
import { delimiter, join } from "node:path"

/** Where a program of the system is, if it is there. */
export const pathOf = (name: string): string | undefined =>
  [...(process.env["PATH"] ?? "").split(delimiter), "/usr/sbin", "/sbin"]
    .map((directory) => join(directory, name))
    .find((path) => {
      try {
        accessSync(path, constants.X_OK)
        return true
      } catch {
        return false
      }
    })
