-- Roles of people's own making, second factors, sessions that are renewed, throttles, shared rate limits, seals of the log.

-- Users hold a built-in role by its name and one of these by its id, so that a namesake made later inherits nobody.
CREATE TABLE roles (
    id TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    -- A JSON array of patterns.
    grants TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    -- A deleted role is kept, holding nothing, for those who still have it.
    deleted_at INTEGER,
    -- Bumped by every change; what admission compares.
    version INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX roles_name ON roles (name) WHERE deleted_at IS NULL;

-- Written by every change that could take the last administrator away, so that they go one by one.
INSERT INTO revisions (name, version) VALUES ('admins', 1);

CREATE TABLE second_factors (
    user_id BLOB NOT NULL PRIMARY KEY REFERENCES users (id),
    -- The secret, sealed for this user.
    sealed BLOB NOT NULL,
    -- NULL while it is only set up.
    enabled_at INTEGER,
    -- Codes of this time step and earlier ones are used up.
    last_step INTEGER NOT NULL
) STRICT;

CREATE TABLE recovery_codes (
    user_id BLOB NOT NULL REFERENCES users (id),
    -- Argon2id, one salt for all codes of a user.
    hash TEXT NOT NULL,
    used_at INTEGER,
    PRIMARY KEY (user_id, hash)
) STRICT;

-- A password that was accepted, waiting for the second factor.
CREATE TABLE login_challenges (
    digest BLOB NOT NULL PRIMARY KEY,
    user_id BLOB NOT NULL REFERENCES users (id),
    user_version INTEGER NOT NULL,
    user_agent TEXT NOT NULL,
    expires_at INTEGER NOT NULL,
    used_at INTEGER
) STRICT;

-- Failed attempts, by whose they are meant to be and what was tried.
CREATE TABLE throttles (
    subject BLOB NOT NULL PRIMARY KEY,
    failures INTEGER NOT NULL,
    last_at INTEGER NOT NULL,
    free_at INTEGER NOT NULL
) STRICT;
CREATE INDEX throttles_last ON throttles (last_at);

ALTER TABLE sessions ADD COLUMN renewed_at INTEGER;
-- When a code was last accepted in it.
ALTER TABLE sessions ADD COLUMN factor_shown_at INTEGER;
ALTER TABLE sessions ADD COLUMN ended_by TEXT;

CREATE TABLE refresh_tokens (
    digest BLOB NOT NULL PRIMARY KEY,
    session_id BLOB NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    expires_at INTEGER NOT NULL,
    used_at INTEGER
) STRICT;
CREATE INDEX refresh_tokens_session ON refresh_tokens (session_id);

-- Set on keys that were revoked because their owner was disabled: those an administrator may restore.
ALTER TABLE api_keys ADD COLUMN revoked_with_owner_at INTEGER;

-- One bucket a user for all replicas: tokens are taken from it in small leases.
CREATE TABLE rate_buckets (
    user_id BLOB NOT NULL PRIMARY KEY,
    -- The theoretical arrival time of the generic cell rate algorithm, in microseconds.
    tat INTEGER NOT NULL
) STRICT;

-- The chain over the log: each row seals what one process committed to it since its last row.
CREATE TABLE audit_seals (
    chain BLOB NOT NULL,
    number INTEGER NOT NULL,
    at INTEGER NOT NULL,
    -- What is sealed, in the order of the hash: 25 bytes each, its kind, its time and its entry's id.
    items BLOB NOT NULL,
    -- The mac before it: of this chain, or of whatever chain was the last when this one began.
    previous BLOB NOT NULL,
    mac BLOB NOT NULL,
    PRIMARY KEY (chain, number)
) STRICT;
CREATE INDEX audit_seals_at ON audit_seals (at);
