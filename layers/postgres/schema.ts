import { STATE_TABLE } from "../../src/domain/BackendState.ts"

/** What a change of either table is announced on. */
export const CHANNEL = "edgeproxy_backends"

/** The trigger, and the function that it calls. */
export const NOTIFY = "edgeproxy_notify"

/** Held while the schema is made, so that POPs that start together do not do it twice. Any number that nobody else uses. */
export const SCHEMA_LOCK = "7308324465701430388"

/** The table of a database that edgeProxy sets up; an existing one stays as it is (T4). */
export const createBackends: ReadonlyArray<string> = [
  `CREATE TABLE IF NOT EXISTS backends (
    id TEXT PRIMARY KEY,
    app TEXT NOT NULL,
    region TEXT NOT NULL,
    country TEXT NOT NULL,
    wg_ip TEXT NOT NULL,
    port INTEGER NOT NULL,
    healthy INTEGER NOT NULL DEFAULT 1,
    weight INTEGER NOT NULL DEFAULT 1,
    soft_limit INTEGER NOT NULL DEFAULT 100,
    hard_limit INTEGER NOT NULL DEFAULT 150,
    deleted INTEGER NOT NULL DEFAULT 0,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT CURRENT_TIMESTAMP,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT CURRENT_TIMESTAMP
  )`,
  "CREATE INDEX IF NOT EXISTS idx_backends_healthy ON backends(healthy) WHERE deleted = 0",
  "CREATE INDEX IF NOT EXISTS idx_backends_region ON backends(region) WHERE deleted = 0",
  `CREATE OR REPLACE FUNCTION edgeproxy_touch() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN NEW.updated_at := CURRENT_TIMESTAMP; RETURN NEW; END $$`,
  `CREATE TRIGGER edgeproxy_touch BEFORE UPDATE ON backends FOR EACH ROW
    WHEN (OLD.* IS DISTINCT FROM NEW.*) EXECUTE FUNCTION edgeproxy_touch()`
]

export const createState: ReadonlyArray<string> = [
  `CREATE TABLE IF NOT EXISTS ${STATE_TABLE} (
    id TEXT PRIMARY KEY,
    owner TEXT NOT NULL DEFAULT '',
    source TEXT NOT NULL DEFAULT '',
    draining INTEGER NOT NULL DEFAULT 0,
    expired INTEGER NOT NULL DEFAULT 0,
    registered_at BIGINT NOT NULL DEFAULT 0,
    heartbeat_at BIGINT NOT NULL DEFAULT 0
  )`
]

export const createNotify = `CREATE FUNCTION ${NOTIFY}() RETURNS trigger LANGUAGE plpgsql AS
  $$ BEGIN PERFORM pg_catalog.pg_notify('${CHANNEL}', ''); RETURN NULL; END $$`

/** Once for each statement, however many rows it changes; and once for each transaction, as notifications are. */
export const createTrigger = (table: string): string =>
  `CREATE TRIGGER ${NOTIFY} AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON ${table}
    FOR EACH STATEMENT EXECUTE FUNCTION ${NOTIFY}()`
