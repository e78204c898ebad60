import { STATE_TABLE } from "../../src/domain/BackendState.ts"

/** The table of a database that edgeProxy creates itself; existing ones may lack `country` and every default (T4). */
export const createBackends = `CREATE TABLE IF NOT EXISTS backends (
  id TEXT PRIMARY KEY,        -- "sa-node-1"
  app TEXT,                   -- "myapp"; backends of one app share its clients
  region TEXT,                -- "sa", "us", "eu" or "ap"
  country TEXT,               -- "BR"; optional, makes the backend the first choice of its own country
  wg_ip TEXT,                 -- address or host name, on the WireGuard overlay in production
  port INTEGER,
  healthy INTEGER DEFAULT 1,  -- 0 takes it out of rotation
  weight INTEGER DEFAULT 1,   -- share of new clients; 0 takes none but serves those bound to it
  soft_limit INTEGER DEFAULT 100,
  hard_limit INTEGER DEFAULT 150,
  deleted INTEGER DEFAULT 0
)`

/** Beside it: what registrations and drains need (D0). */
export const createStates = `CREATE TABLE IF NOT EXISTS ${STATE_TABLE} (
  id TEXT PRIMARY KEY,
  owner TEXT NOT NULL DEFAULT '',            -- POP that decides on its expiry
  source TEXT NOT NULL DEFAULT '',           -- "api" when it registered itself
  draining INTEGER NOT NULL DEFAULT 0,
  expired INTEGER NOT NULL DEFAULT 0,        -- not heard of any more
  registered_at INTEGER NOT NULL DEFAULT 0,  -- milliseconds since 1970
  heartbeat_at INTEGER NOT NULL DEFAULT 0    -- as last written, which is rarely
)`
