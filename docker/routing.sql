-- The backends of docker/compose.yaml. Running it again changes nothing that is there: weights and drains set by an
-- operator stay.
CREATE TABLE IF NOT EXISTS backends (
    id TEXT PRIMARY KEY,
    app TEXT,
    region TEXT,
    country TEXT,
    wg_ip TEXT,
    port INTEGER,
    healthy INTEGER,
    weight INTEGER,
    soft_limit INTEGER,
    hard_limit INTEGER,
    deleted INTEGER DEFAULT 0
);

INSERT INTO backends (id, app, region, country, wg_ip, port, healthy, weight, soft_limit, hard_limit)
VALUES
    ('sa-node-1', 'myapp', 'sa', 'BR', '10.10.1.1', 8080, 1, 2, 50, 100),
    ('sa-node-2', 'myapp', 'sa', 'BR', '10.10.1.2', 8080, 1, 1, 50, 100),
    ('sa-node-3', 'myapp', 'sa', 'BR', '10.10.1.3', 8080, 1, 1, 50, 100),
    ('us-node-1', 'myapp', 'us', 'US', '10.10.2.1', 8080, 1, 2, 50, 100),
    ('us-node-2', 'myapp', 'us', 'US', '10.10.2.2', 8080, 1, 1, 50, 100),
    ('us-node-3', 'myapp', 'us', 'US', '10.10.2.3', 8080, 1, 1, 50, 100),
    ('eu-node-1', 'myapp', 'eu', 'DE', '10.10.3.1', 8080, 1, 2, 50, 100),
    ('eu-node-2', 'myapp', 'eu', 'DE', '10.10.3.2', 8080, 1, 1, 50, 100),
    ('eu-node-3', 'myapp', 'eu', 'DE', '10.10.3.3', 8080, 1, 1, 50, 100)
ON CONFLICT (id) DO NOTHING;
