-- A request as the admission statement takes it: what is to be confirmed, and the columns of its entry.
CREATE TYPE admission_request AS (
    -- 0: nobody's credential. 1: a key. 2: a session.
    kind BIGINT,
    credential BYTEA,
    user_version BIGINT,
    clusters_version BIGINT,
    role_version BIGINT,
    audited BOOLEAN,
    id BYTEA,
    user_id BYTEA,
    user_name TEXT,
    agent TEXT,
    key_id BYTEA,
    action TEXT,
    resource TEXT,
    resource_name TEXT,
    cluster TEXT,
    namespace TEXT,
    ip TEXT,
    user_agent TEXT,
    request_id TEXT,
    count BIGINT,
    status_code BIGINT,
    outcome TEXT,
    detail TEXT
);
