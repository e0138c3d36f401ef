-- Times are microseconds since 1970 UTC; ids are the 16 bytes of a UUID. The PostgreSQL twin has the same tables and columns.

CREATE TABLE users (
    id BLOB NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    role TEXT NOT NULL,
    password_hash TEXT,
    created_at INTEGER NOT NULL,
    disabled_at INTEGER,
    deleted_at INTEGER,
    -- Bumped by every change of what the user may do; what admission compares.
    version INTEGER NOT NULL,
    -- Written first by transactions that must see this user's keys alone.
    keys_made INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX users_name ON users (name) WHERE deleted_at IS NULL;

CREATE TABLE clusters (
    id BLOB NOT NULL PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    server TEXT NOT NULL,
    -- The way in, sealed; its associated data names this row.
    sealed BLOB NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;

-- One row for each set of objects that is cached whole.
CREATE TABLE revisions (
    name TEXT NOT NULL PRIMARY KEY,
    version INTEGER NOT NULL
) STRICT;
INSERT INTO revisions (name, version) VALUES ('clusters', 1);

CREATE TABLE assignments (
    id BLOB NOT NULL PRIMARY KEY,
    user_id BLOB NOT NULL REFERENCES users (id),
    -- NULL: every cluster.
    cluster_id BLOB REFERENCES clusters (id) ON DELETE CASCADE,
    -- A JSON array of names; NULL: all namespaces.
    namespaces TEXT
) STRICT;
CREATE INDEX assignments_user ON assignments (user_id);
CREATE INDEX assignments_cluster ON assignments (cluster_id);

CREATE TABLE sessions (
    id BLOB NOT NULL PRIMARY KEY,
    user_id BLOB NOT NULL REFERENCES users (id),
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    ended_at INTEGER,
    ip TEXT,
    user_agent TEXT NOT NULL
) STRICT;
CREATE INDEX sessions_user ON sessions (user_id);

CREATE TABLE api_keys (
    id BLOB NOT NULL PRIMARY KEY,
    user_id BLOB NOT NULL REFERENCES users (id),
    name TEXT NOT NULL,
    prefix TEXT NOT NULL,
    -- The algorithm's tag and the digest of the whole key.
    digest BLOB NOT NULL UNIQUE,
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    -- Set when a request was refused for expiry: no clock set back revives the key.
    expired_seen_at INTEGER,
    revoked_at INTEGER,
    revoked_by TEXT,
    revoke_reason TEXT
) STRICT;
CREATE INDEX api_keys_user ON api_keys (user_id, id);

-- Apart from api_keys, so that noting a use can never touch a revocation.
CREATE TABLE api_key_uses (
    key_id BLOB NOT NULL PRIMARY KEY REFERENCES api_keys (id) ON DELETE CASCADE,
    last_used_at INTEGER NOT NULL,
    last_used_ip TEXT
) STRICT;

-- Insert only. No index but the key: every further one is paid for by each request.
CREATE TABLE audit_entries (
    id BLOB NOT NULL,
    at INTEGER NOT NULL,
    user_id BLOB,
    user_name TEXT NOT NULL,
    agent TEXT NOT NULL,
    key_id BLOB,
    action TEXT NOT NULL,
    resource TEXT NOT NULL,
    resource_name TEXT,
    cluster TEXT,
    namespace TEXT,
    ip TEXT,
    user_agent TEXT NOT NULL,
    request_id TEXT NOT NULL,
    count INTEGER NOT NULL,
    status_code INTEGER,
    outcome TEXT,
    detail TEXT NOT NULL,
    PRIMARY KEY (id, at)
) STRICT, WITHOUT ROWID;

-- The end of an entry that was begun before its outcome was known. Insert only, at most one each.
CREATE TABLE audit_outcomes (
    entry_id BLOB NOT NULL,
    entry_at INTEGER NOT NULL,
    at INTEGER NOT NULL,
    status_code INTEGER NOT NULL,
    outcome TEXT NOT NULL,
    detail TEXT NOT NULL,
    PRIMARY KEY (entry_id, entry_at)
) STRICT, WITHOUT ROWID;
