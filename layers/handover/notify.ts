/**
 * Tells the service manager that this process serves, and that it is the main one now (sd_notify(3)), with systemd's own
 * command. Does nothing where no service manager asks. A failure is told to `failed` and harms nothing.
 */
export const notifyReady = async (failed: (why: string) => void): Promise<void> => {
  if (process.env["NOTIFY_SOCKET"] === undefined) return
  const { execFile } = await import("node:child_process")
  execFile("systemd-notify", ["--ready", `--pid=${process.pid}`], { timeout: 10_000 }, (error) => {
    if (error !== null) failed(error.message.split("\n", 1)[0] ?? "")
  })
}
