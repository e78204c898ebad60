import type * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { make } from "./FakeAgent.ts"
import type { FakeAgent, Options } from "./FakeAgent.ts"

export const schema = `
CREATE TABLE IF NOT EXISTS backends (
  id      TEXT    NOT NULL PRIMARY KEY,
  app     TEXT    NOT NULL DEFAULT '',
  healthy INTEGER NOT NULL DEFAULT 0,
  load    REAL,
  extra   BLOB
);
CREATE INDEX IF NOT EXISTS backends_app ON backends (app);
CREATE TABLE IF NOT EXISTS places (
  app  TEXT    NOT NULL,
  city TEXT    NOT NULL,
  size INTEGER NOT NULL DEFAULT 1,
  PRIMARY KEY (app, city)
);`

/** An agent whose batches wait for `tick`. */
export const manual = (options: Partial<Options> = {}): Effect.Effect<FakeAgent, never, Scope.Scope> =>
  make({ schema, tickMs: Number.POSITIVE_INFINITY, ...options })

export const SELECT = "SELECT id, app, healthy FROM backends"

export const insert = (id: string, app = "shop", healthy = 1): unknown => [
  "INSERT INTO backends (id, app, healthy) VALUES (?, ?, ?)",
  [id, app, healthy]
]
