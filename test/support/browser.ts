import * as Effect from "effect/Effect"
import { existsSync } from "node:fs"
import { chromium } from "playwright-core"

/** Debian's Chromium; undefined when it is not installed. */
export const chromiumPath = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].find((path) =>
  existsSync(path)
)

/** A browser for the rest of the scope. */
export const browser = Effect.acquireRelease(
  Effect.promise(() =>
    chromium.launch({
      ...(chromiumPath === undefined ? {} : { executablePath: chromiumPath }),
      // In a container there is neither a user for the sandbox nor much shared memory.
      args: ["--no-sandbox", "--disable-dev-shm-usage"]
    })
  ),
  (browser) => Effect.promise(() => browser.close())
)
