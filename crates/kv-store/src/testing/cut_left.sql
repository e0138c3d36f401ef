-- A transaction that moves rights and leaves no cut fails in tests: people read on what their server was told by a cut, and would
-- never know (docs/decisions/0018). What moves by time alone, and rows that go when they have been dead for long, leave none.
CREATE FUNCTION trial_cut_left() RETURNS TRIGGER LANGUAGE plpgsql AS $$
BEGIN
    -- Tests change rows behind the store's back.
    IF current_setting('trial.behind', true) IS DISTINCT FROM 'yes'
        AND NOT EXISTS (SELECT FROM cuts WHERE xmin = pg_current_xact_id()::xid)
    THEN
        RAISE EXCEPTION 'rights have moved in % without a cut', TG_TABLE_NAME;
    END IF;
    RETURN NULL;
END
$$;

CREATE CONSTRAINT TRIGGER trial_key AFTER UPDATE ON api_keys DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
WHEN (NEW.revoked_at IS DISTINCT FROM OLD.revoked_at OR NEW.expires_at IS DISTINCT FROM OLD.expires_at
    OR NEW.user_id <> OLD.user_id)
EXECUTE FUNCTION trial_cut_left();
CREATE CONSTRAINT TRIGGER trial_session AFTER UPDATE ON sessions DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
WHEN (NEW.ended_at IS DISTINCT FROM OLD.ended_at OR NEW.expires_at < OLD.expires_at OR NEW.user_id <> OLD.user_id)
EXECUTE FUNCTION trial_cut_left();
CREATE CONSTRAINT TRIGGER trial_user AFTER UPDATE ON users DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
WHEN (NEW.version <> OLD.version OR NEW.disabled_at IS DISTINCT FROM OLD.disabled_at
    OR NEW.deleted_at IS DISTINCT FROM OLD.deleted_at OR NEW.role <> OLD.role)
EXECUTE FUNCTION trial_cut_left();
CREATE CONSTRAINT TRIGGER trial_role AFTER UPDATE ON roles DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
WHEN (NEW.version <> OLD.version)
EXECUTE FUNCTION trial_cut_left();
CREATE CONSTRAINT TRIGGER trial_gone_role AFTER DELETE ON roles DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
EXECUTE FUNCTION trial_cut_left();
CREATE CONSTRAINT TRIGGER trial_clusters AFTER UPDATE ON revisions DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
WHEN (NEW.name = 'clusters' AND NEW.version <> OLD.version)
EXECUTE FUNCTION trial_cut_left();
