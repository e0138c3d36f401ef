-- Writes the intents of a batch and judges them, in one statement with one snapshot, taken after every request of the
-- batch had arrived. `basis::Standing::verdict` says the same in Rust for SQLite.
--
-- The batch is one array of rows, for an array a column takes eight times as long to unfold. What a verdict rests on is
-- looked up in subqueries, one for each kind of credential, and not by joins: only the one that is needed is run, and each
-- goes by an index however small the tables were when this was planned.
WITH request AS (
    SELECT * FROM unnest($1::admission_request[]) WITH ORDINALITY AS r
), clock AS MATERIALIZED (
    SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS now
), judged AS MATERIALIZED (
    SELECT r.*, clock.now,
        CASE r.kind
            WHEN 0 THEN 'admitted'
            WHEN 1 THEN coalesce((
                SELECT CASE
                    WHEN k.revoked_at IS NOT NULL THEN 'revoked'
                    WHEN k.expired_seen_at IS NOT NULL THEN 'expired'
                    WHEN u.deleted_at IS NOT NULL THEN 'owner_deleted'
                    WHEN u.disabled_at IS NOT NULL THEN 'owner_disabled'
                    WHEN k.expires_at <= clock.now THEN 'newly_expired'
                    WHEN u.version <> r.user_version THEN 'stale'
                    WHEN (SELECT v.version FROM revisions v WHERE v.name = 'clusters') <> r.clusters_version THEN 'stale'
                    WHEN r.role_version IS NOT NULL
                        AND (SELECT o.version FROM roles o WHERE o.id = u.role) IS DISTINCT FROM r.role_version THEN 'stale'
                    ELSE 'admitted'
                END
                FROM api_keys k JOIN users u ON u.id = k.user_id
                WHERE k.id = r.credential
            ), 'unknown')
            ELSE coalesce((
                SELECT CASE
                    WHEN s.ended_at IS NOT NULL THEN 'session_ended'
                    WHEN u.deleted_at IS NOT NULL THEN 'owner_deleted'
                    WHEN u.disabled_at IS NOT NULL THEN 'owner_disabled'
                    WHEN s.expires_at <= clock.now THEN 'expired'
                    WHEN u.version <> r.user_version THEN 'stale'
                    WHEN (SELECT v.version FROM revisions v WHERE v.name = 'clusters') <> r.clusters_version THEN 'stale'
                    WHEN r.role_version IS NOT NULL
                        AND (SELECT o.version FROM roles o WHERE o.id = u.role) IS DISTINCT FROM r.role_version THEN 'stale'
                    ELSE 'admitted'
                END
                FROM sessions s JOIN users u ON u.id = s.user_id
                WHERE s.id = r.credential
            ), 'unknown')
        END AS verdict
    FROM request r CROSS JOIN clock
), written AS (
    INSERT INTO audit_entries (
        id, at, user_id, user_name, agent, key_id, action, resource, resource_name, cluster, namespace, ip, user_agent,
        request_id, count, status_code, outcome, detail
    )
    SELECT id, now, user_id, user_name, agent, key_id, action, resource, resource_name, cluster, namespace, ip,
        user_agent, request_id, count,
        CASE verdict WHEN 'admitted' THEN status_code ELSE 401 END,
        CASE verdict WHEN 'admitted' THEN outcome ELSE 'denied' END,
        CASE verdict
            WHEN 'admitted' THEN detail
            WHEN 'newly_expired' THEN '{"reason":"expired"}'
            ELSE '{"reason":"' || verdict || '"}'
        END
    FROM judged
    WHERE verdict <> 'stale' AND (audited OR verdict <> 'admitted')
)
SELECT ordinality, verdict, now FROM judged
