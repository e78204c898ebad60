import { readFileSync } from "node:fs"

/** Programs that end with the one they have started, and take all others of the container with them; at most 15 letters. */
const companions = new Set([
  "tini",
  "tini-static",
  "docker-init",
  "dumb-init",
  "catatonit",
  "podman-init",
  // Where a container has the processes of the host: its parent is there to be seen.
  "containerd-shim",
  "conmon"
])

const nameOf = (pid: number): string | undefined => {
  try {
    return readFileSync(`/proc/${pid}/comm`, "utf8").trim()
  } catch {
    // Nobody who may be seen from here.
    return undefined
  }
}

/** Whether a container ends with this process, whatever else runs in it then; to be asked while whoever started it lives. */
export const endsContainer = (): boolean =>
  process.pid === 1 ||
  // Its parent is outside, and the first process one that nobody waits for (Kubernetes' `shareProcessNamespace`).
  process.ppid === 0 ||
  // Fly's machines run one program, behind an init of Fly's.
  (process.ppid === 1 && process.env["FLY_MACHINE_ID"] !== undefined) ||
  companions.has(nameOf(process.ppid) ?? "")
