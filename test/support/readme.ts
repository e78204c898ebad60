import { readFileSync, writeFileSync } from "node:fs"
import { configurationMarkdown } from "../../src/config/describe.ts"

const start = "<!-- configuration: written by `npm run readme` -->\n"
const end = "<!-- /configuration -->"

/** The README with the configuration tables as the definition has them now. */
export const withConfiguration = (readme: string): string => {
  const from = readme.indexOf(start) + start.length
  return `${readme.slice(0, from)}\n${configurationMarkdown()}\n${readme.slice(readme.indexOf(end))}`
}

if (import.meta.main) writeFileSync("README.md", withConfiguration(readFileSync("README.md", "utf8")))
