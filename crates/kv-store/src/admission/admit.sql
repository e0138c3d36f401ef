-- Writes the intents of a batch and judges them, in one statement with one snapshot, taken after every request of the
-- batch had arrived. `basis::Standing::verdict` says the same in Rust for SQLite.
--
-- The batch is one array of rows, for an array a column takes eight times as long to unfold. What a verdict rests on is
-- looked up in subqueries, one for each kind of credential, and not by joins: only the one that is needed is run, and each
-- goes by an index however small the tables were when this was planned.
--
-- What this connection found at the number of standings that still holds is not looked up again, and nor is what only
-- reports: both are known.
WITH request AS (
    SELECT * FROM unnest($1::admission_line[]) WITH ORDINALITY AS r
), present AS MATERIALIZED (
    SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS now,
        (SELECT v.version FROM revisions v WHERE v.name = 'standings') AS standings,
        (SELECT v.version FROM revisions v WHERE v.name = 'clusters') AS clusters
), known AS (
    SELECT r.*, present.now, present.clusters,
        r.kind = 0 OR coalesce(present.standings = $2 AND r.good_until > present.now
            AND (r.clusters_version IS NULL OR r.clusters_version = present.clusters), FALSE) AS known
    FROM request r CROSS JOIN present
), judged AS MATERIALIZED (
    SELECT r.*,
        CASE
            WHEN r.known THEN 'admitted'
            WHEN r.kind = 1 THEN coalesce((
                SELECT CASE
                    WHEN k.revoked_at IS NOT NULL THEN 'revoked'
                    WHEN k.expired_seen_at IS NOT NULL THEN 'expired'
                    WHEN u.deleted_at IS NOT NULL THEN 'owner_deleted'
                    WHEN u.disabled_at IS NOT NULL THEN 'owner_disabled'
                    WHEN k.expires_at <= r.now THEN 'newly_expired'
                    WHEN u.version <> r.user_version THEN 'stale'
                    WHEN r.clusters <> r.clusters_version THEN 'stale'
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
                    WHEN s.expires_at <= r.now THEN 'expired'
                    WHEN u.version <> r.user_version THEN 'stale'
                    WHEN r.clusters <> r.clusters_version THEN 'stale'
                    WHEN r.role_version IS NOT NULL
                        AND (SELECT o.version FROM roles o WHERE o.id = u.role) IS DISTINCT FROM r.role_version THEN 'stale'
                    ELSE 'admitted'
                END
                FROM sessions s JOIN users u ON u.id = s.user_id
                WHERE s.id = r.credential
            ), 'unknown')
        END AS verdict
    FROM known r
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
-- What was known before is admitted, and only counted; each of the others has a row of its own.
SELECT NULL::bigint, '', now, (SELECT count(*) FROM judged WHERE known), standings
FROM present
UNION ALL
SELECT ordinality, verdict, now,
    CASE
        WHEN verdict <> 'admitted' THEN NULL
        WHEN kind = 1 THEN (SELECT coalesce(k.expires_at, 9223372036854775807) FROM api_keys k WHERE k.id = credential)
        WHEN kind = 2 THEN (SELECT s.expires_at FROM sessions s WHERE s.id = credential)
    END,
    NULL
FROM judged
WHERE NOT known
