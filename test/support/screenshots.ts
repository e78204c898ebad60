import * as Effect from "effect/Effect"
import { writeFileSync } from "node:fs"
import { browser } from "./browser.ts"
import { dashboardScene } from "./dashboardScene.ts"

/** Takes the README's pictures of the dashboard: a POP at work, one of its backends just down, another one draining. */

const [directory = "docker/pictures"] = process.argv.slice(2)

const shots = [
  { name: "dashboard-light", colorScheme: "light", width: 1_360, height: 1_060, scale: 1 },
  { name: "dashboard-dark", colorScheme: "dark", width: 1_360, height: 1_060, scale: 1 },
  { name: "dashboard-phone", colorScheme: "dark", width: 390, height: 844, scale: 1 }
] as const

const take = Effect.gen(function* () {
  const scene = yield* dashboardScene()
  const chromium = yield* browser
  const pages = yield* Effect.promise(() =>
    Promise.all(
      shots.map(async ({ colorScheme, height, scale, width }) => {
        const page = await chromium.newPage({ colorScheme, viewport: { width, height }, deviceScaleFactor: scale })
        await page.goto(scene.url)
        return page
      })
    )
  )
  yield* Effect.sleep("20 seconds")
  scene.kill("eze-a")
  yield* scene.api.call("POST", "/api/v1/backends/lhr-a/drain")
  yield* Effect.sleep("12 seconds")
  yield* Effect.promise(() =>
    Promise.all(
      pages.map(async (page, index) => {
        const name = shots[index]?.name ?? ""
        await page.fill("#explain-ip", "127.24.0.1")
        await page.click("#explain-form button")
        await page.waitForSelector("#explanation .answer")
        await page.evaluate("document.activeElement.blur(); scrollTo(0, 0)")
        const session = await page.context().newCDPSession(page)
        const { data } = await session.send("Page.captureScreenshot", { format: "webp", quality: 82 })
        writeFileSync(`${directory}/${name}.webp`, Buffer.from(data, "base64"))
      })
    )
  )
}).pipe(Effect.scoped)

await Effect.runPromise(take)
