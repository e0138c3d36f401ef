-- Writes the intents of a batch and judges them, in one statement with one snapshot, taken after every request of the
-- batch had arrived. `basis::Standing::verdict` says the same in Rust for SQLite.
WITH request AS (
    SELECT * FROM unnest(
        $1::bigint[], $2::bytea[], $3::bigint[], $4::bigint[], $5::bigint[], $6::boolean[],
        $7::bytea[], $8::bytea[], $9::text[], $10::text[], $11::bytea[], $12::text[], $13::text[], $14::text[],
        $15::text[], $16::text[], $17::text[], $18::text[], $19::text[], $20::bigint[], $21::bigint[], $22::text[],
        $23::text[]
    ) WITH ORDINALITY AS r (
        kind, credential, user_version, clusters_version, role_version, audited,
        id, user_id, user_name, agent, key_id, action, resource, resource_name,
        cluster, namespace, ip, user_agent, request_id, count, status_code, outcome,
        detail, position
    )
), clock AS MATERIALIZED (
    SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS now
), judged AS MATERIALIZED (
    SELECT r.*, clock.now, k.expired_seen_at,
        CASE
            WHEN r.kind = 0 THEN 'admitted'
            WHEN k.id IS NULL AND s.id IS NULL THEN 'unknown'
            WHEN k.revoked_at IS NOT NULL THEN 'revoked'
            WHEN k.expired_seen_at IS NOT NULL THEN 'expired'
            WHEN s.ended_at IS NOT NULL THEN 'session_ended'
            WHEN u.deleted_at IS NOT NULL THEN 'owner_deleted'
            WHEN u.disabled_at IS NOT NULL THEN 'owner_disabled'
            WHEN coalesce(k.expires_at, s.expires_at) <= clock.now THEN 'expired'
            WHEN u.version <> r.user_version OR v.version <> r.clusters_version THEN 'stale'
            WHEN r.role_version IS NOT NULL AND o.version IS DISTINCT FROM r.role_version THEN 'stale'
            ELSE 'admitted'
        END AS verdict
    FROM request r
    CROSS JOIN clock
    LEFT JOIN api_keys k ON r.kind = 1 AND k.id = r.credential
    LEFT JOIN sessions s ON r.kind = 2 AND s.id = r.credential
    LEFT JOIN users u ON u.id = coalesce(k.user_id, s.user_id)
    LEFT JOIN roles o ON r.role_version IS NOT NULL AND o.id = u.role
    LEFT JOIN revisions v ON r.clusters_version IS NOT NULL AND v.name = 'clusters'
), written AS (
    INSERT INTO audit_entries (
        id, at, user_id, user_name, agent, key_id, action, resource, resource_name, cluster, namespace, ip, user_agent,
        request_id, count, status_code, outcome, detail
    )
    SELECT id, now, user_id, user_name, agent, key_id, action, resource, resource_name, cluster, namespace, ip,
        user_agent, request_id, count,
        CASE verdict WHEN 'admitted' THEN status_code ELSE 401 END,
        CASE verdict WHEN 'admitted' THEN outcome ELSE 'denied' END,
        CASE verdict WHEN 'admitted' THEN detail ELSE '{"reason":"' || verdict || '"}' END
    FROM judged
    WHERE verdict <> 'stale' AND (audited OR verdict <> 'admitted')
)
SELECT position, verdict, now, (verdict = 'expired' AND kind = 1 AND expired_seen_at IS NULL) AS newly_expired
FROM judged
ORDER BY position
