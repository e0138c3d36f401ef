-- Times are microseconds since 1970 UTC; ids are the 16 bytes of a UUID. The SQLite twin has the same tables and columns.

CREATE TABLE users (
    id BYTEA NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    role TEXT NOT NULL,
    password_hash TEXT,
    created_at BIGINT NOT NULL,
    disabled_at BIGINT,
    deleted_at BIGINT,
    -- Bumped by every change of what the user may do; what admission compares.
    version BIGINT NOT NULL,
    -- Written first by transactions that must see this user's keys alone.
    keys_made BIGINT NOT NULL
);
CREATE UNIQUE INDEX users_name ON users (name) WHERE deleted_at IS NULL;

CREATE TABLE clusters (
    id BYTEA NOT NULL PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    server TEXT NOT NULL,
    -- The way in, sealed; its associated data names this row.
    sealed BYTEA NOT NULL,
    created_at BIGINT NOT NULL
);

-- One row for each set of objects that is cached whole.
CREATE TABLE revisions (
    name TEXT NOT NULL PRIMARY KEY,
    version BIGINT NOT NULL
);
INSERT INTO revisions (name, version) VALUES ('clusters', 1);

CREATE TABLE assignments (
    id BYTEA NOT NULL PRIMARY KEY,
    user_id BYTEA NOT NULL REFERENCES users (id),
    -- NULL: every cluster.
    cluster_id BYTEA REFERENCES clusters (id) ON DELETE CASCADE,
    -- A JSON array of names; NULL: all namespaces.
    namespaces TEXT
);
CREATE INDEX assignments_user ON assignments (user_id);
CREATE INDEX assignments_cluster ON assignments (cluster_id);

CREATE TABLE sessions (
    id BYTEA NOT NULL PRIMARY KEY,
    user_id BYTEA NOT NULL REFERENCES users (id),
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    ended_at BIGINT,
    ip TEXT,
    user_agent TEXT NOT NULL
);
CREATE INDEX sessions_user ON sessions (user_id);

CREATE TABLE api_keys (
    id BYTEA NOT NULL PRIMARY KEY,
    user_id BYTEA NOT NULL REFERENCES users (id),
    name TEXT NOT NULL,
    prefix TEXT NOT NULL,
    -- The algorithm's tag and the digest of the whole key.
    digest BYTEA NOT NULL UNIQUE,
    created_at BIGINT NOT NULL,
    expires_at BIGINT,
    -- Set when a request was refused for expiry: no clock set back revives the key.
    expired_seen_at BIGINT,
    revoked_at BIGINT,
    revoked_by TEXT,
    revoke_reason TEXT
);
CREATE INDEX api_keys_user ON api_keys (user_id, id);

-- Apart from api_keys, so that noting a use can never touch a revocation.
CREATE TABLE api_key_uses (
    key_id BYTEA NOT NULL PRIMARY KEY REFERENCES api_keys (id) ON DELETE CASCADE,
    last_used_at BIGINT NOT NULL,
    last_used_ip TEXT
);

-- Insert only. Partitioned by day, so that a day is dropped at once when its time is over; the days' partitions are
-- made by the server, and what has none goes to the default one.
CREATE TABLE audit_entries (
    id BYTEA NOT NULL,
    at BIGINT NOT NULL,
    user_id BYTEA,
    user_name TEXT NOT NULL,
    agent TEXT NOT NULL,
    key_id BYTEA,
    action TEXT NOT NULL,
    resource TEXT NOT NULL,
    resource_name TEXT,
    cluster TEXT,
    namespace TEXT,
    ip TEXT,
    user_agent TEXT NOT NULL,
    request_id TEXT NOT NULL,
    count BIGINT NOT NULL,
    status_code BIGINT,
    outcome TEXT,
    detail TEXT NOT NULL,
    PRIMARY KEY (id, at)
) PARTITION BY RANGE (at);
CREATE TABLE audit_entries_other PARTITION OF audit_entries DEFAULT;
-- Serves ranges of time at almost no cost for the writer.
CREATE INDEX audit_entries_at ON audit_entries USING brin (at);

-- The end of an entry that was begun before its outcome was known. Insert only, at most one each.
CREATE TABLE audit_outcomes (
    entry_id BYTEA NOT NULL,
    entry_at BIGINT NOT NULL,
    at BIGINT NOT NULL,
    status_code BIGINT NOT NULL,
    outcome TEXT NOT NULL,
    detail TEXT NOT NULL,
    PRIMARY KEY (entry_id, entry_at)
) PARTITION BY RANGE (entry_at);
CREATE TABLE audit_outcomes_other PARTITION OF audit_outcomes DEFAULT;
