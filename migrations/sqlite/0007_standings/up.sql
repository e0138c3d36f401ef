-- One number for everything that could make an admitted credential a refused or a stale one: as long as it has not moved,
-- what admission found before still holds. Moved by the database itself, so that no writer can forget to.
INSERT INTO revisions (name, version) VALUES ('standings', 1);

CREATE TRIGGER standing_of_key AFTER UPDATE OF revoked_at, expired_seen_at, expires_at, user_id ON api_keys
BEGIN UPDATE revisions SET version = version + 1 WHERE name = 'standings'; END;
CREATE TRIGGER standing_of_gone_key AFTER DELETE ON api_keys
BEGIN UPDATE revisions SET version = version + 1 WHERE name = 'standings'; END;

-- A renewal makes a session last longer, which takes nothing back.
CREATE TRIGGER standing_of_session AFTER UPDATE OF ended_at, expires_at, user_id ON sessions
WHEN NEW.ended_at IS NOT OLD.ended_at OR NEW.expires_at < OLD.expires_at OR NEW.user_id IS NOT OLD.user_id
BEGIN UPDATE revisions SET version = version + 1 WHERE name = 'standings'; END;
CREATE TRIGGER standing_of_gone_session AFTER DELETE ON sessions
BEGIN UPDATE revisions SET version = version + 1 WHERE name = 'standings'; END;

-- Acts lock their user by writing the version as it is.
CREATE TRIGGER standing_of_user AFTER UPDATE OF disabled_at, deleted_at, version, role ON users
WHEN NEW.version IS NOT OLD.version OR NEW.disabled_at IS NOT OLD.disabled_at OR NEW.deleted_at IS NOT OLD.deleted_at
    OR NEW.role IS NOT OLD.role
BEGIN UPDATE revisions SET version = version + 1 WHERE name = 'standings'; END;
CREATE TRIGGER standing_of_gone_user AFTER DELETE ON users
BEGIN UPDATE revisions SET version = version + 1 WHERE name = 'standings'; END;

CREATE TRIGGER standing_of_role AFTER UPDATE OF version ON roles WHEN NEW.version IS NOT OLD.version
BEGIN UPDATE revisions SET version = version + 1 WHERE name = 'standings'; END;
CREATE TRIGGER standing_of_gone_role AFTER DELETE ON roles
BEGIN UPDATE revisions SET version = version + 1 WHERE name = 'standings'; END;
