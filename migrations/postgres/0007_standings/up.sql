-- One number for everything that could make an admitted credential a refused or a stale one: as long as it has not moved,
-- what admission found before still holds. Moved by the database itself, so that no writer can forget to.
INSERT INTO revisions (name, version) VALUES ('standings', 1);

-- Once a transaction, however many rows have changed in it.
CREATE FUNCTION move_standings() RETURNS TRIGGER LANGUAGE plpgsql AS $$
BEGIN
    IF current_setting('kubevision.standings_moved', true) IS DISTINCT FROM 'yes' THEN
        UPDATE revisions SET version = version + 1 WHERE name = 'standings';
        PERFORM set_config('kubevision.standings_moved', 'yes', true);
    END IF;
    RETURN NULL;
END
$$;

-- Deferred: this row is the last that a transaction locks, so that no two can wait for each other by it.
CREATE CONSTRAINT TRIGGER standing_of_key AFTER UPDATE OF revoked_at, expired_seen_at, expires_at, user_id ON api_keys
DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION move_standings();
CREATE CONSTRAINT TRIGGER standing_of_gone_key AFTER DELETE ON api_keys
DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION move_standings();

-- A renewal makes a session last longer, which takes nothing back.
CREATE CONSTRAINT TRIGGER standing_of_session AFTER UPDATE OF ended_at, expires_at, user_id ON sessions
DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
WHEN (NEW.ended_at IS DISTINCT FROM OLD.ended_at OR NEW.expires_at < OLD.expires_at OR NEW.user_id <> OLD.user_id)
EXECUTE FUNCTION move_standings();
CREATE CONSTRAINT TRIGGER standing_of_gone_session AFTER DELETE ON sessions
DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION move_standings();

-- Acts lock their user by writing the version as it is.
CREATE CONSTRAINT TRIGGER standing_of_user AFTER UPDATE OF disabled_at, deleted_at, version, role ON users
DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
WHEN (NEW.version <> OLD.version OR NEW.disabled_at IS DISTINCT FROM OLD.disabled_at
    OR NEW.deleted_at IS DISTINCT FROM OLD.deleted_at OR NEW.role <> OLD.role)
EXECUTE FUNCTION move_standings();
CREATE CONSTRAINT TRIGGER standing_of_gone_user AFTER DELETE ON users
DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION move_standings();

CREATE CONSTRAINT TRIGGER standing_of_role AFTER UPDATE OF version ON roles
DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.version <> OLD.version) EXECUTE FUNCTION move_standings();
CREATE CONSTRAINT TRIGGER standing_of_gone_role AFTER DELETE ON roles
DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION move_standings();

-- A request as the admission statement takes it from now on. Servers of the version before send `admission_request`.
CREATE TYPE admission_line AS (
    -- 0: nobody's credential. 1: a key. 2: a session.
    kind BIGINT,
    credential BYTEA,
    user_version BIGINT,
    clusters_version BIGINT,
    role_version BIGINT,
    -- Until when it is admitted as long as standings have not moved, by what admission found before; NULL: not known.
    good_until BIGINT,
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
