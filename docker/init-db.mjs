import { readFileSync } from "node:fs"
import { DatabaseSync } from "node:sqlite"

// Runs a file of SQL on a routing database as one transaction: all of it or nothing.
const [sqlPath, databasePath] = process.argv.slice(2)
if (sqlPath === undefined || databasePath === undefined) {
  console.error("Usage: init-db.mjs <file.sql> <routing.db>")
  process.exit(64)
}

const sql = readFileSync(sqlPath, "utf8")
// A proxy that has the database open may hold its lock for a moment.
const database = new DatabaseSync(databasePath, { timeout: 5000 })
database.exec("BEGIN IMMEDIATE")
database.exec(sql)
database.exec("COMMIT")
const { backends } = database.prepare("SELECT count(*) AS backends FROM backends").get()
database.close()
console.log(`${databasePath}: ${backends} backends`)
