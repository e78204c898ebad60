import { readFileSync } from "node:fs"

// Puts the rows of a file of SQL into the table that the agents share, through one of them. Rows that are there stay as they
// are. The agent may still be starting: it is asked for a minute.
const [sqlPath, url] = process.argv.slice(2)
if (sqlPath === undefined || url === undefined) {
  console.error("Usage: seed.mjs <file.sql> <http://agent:8090>")
  process.exit(64)
}

// The tables themselves come from the agents' schema files.
const sql = readFileSync(sqlPath, "utf8")
const statements = sql
  .replace(/^--.*$/gm, "")
  .split(";")
  .map((statement) => statement.trim())
  .filter((statement) => /^INSERT\b/i.test(statement))

const post = async () => {
  const response = await fetch(`${url}/v1/transactions`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(statements),
    signal: AbortSignal.timeout(5000)
  })
  const text = await response.text()
  if (!response.ok) throw new Error(`${response.status}: ${text}`)
  return text
}

for (let attempt = 1; ; attempt++) {
  try {
    console.log(await post())
    break
  } catch (error) {
    if (attempt === 60) throw error
    await new Promise((resolve) => setTimeout(resolve, 1000))
  }
}
