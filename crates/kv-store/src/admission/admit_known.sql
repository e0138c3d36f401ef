-- Writes the intents of a batch in which everything is known, if it still holds: all of them, or none. Who was judged before is not
-- judged again; `admit.sql` does that, for the same batch, where this says nothing. One statement with one snapshot, taken after
-- every request of the batch had arrived, as there.
--
-- It asks for the number of standings at which all was found, the moment until which all of it is good, and the version of the
-- list of clusters that they rest on, if any does.
WITH present AS MATERIALIZED (
    SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS now,
        (SELECT v.version FROM revisions v WHERE v.name = 'standings') AS standings,
        (SELECT v.version FROM revisions v WHERE v.name = 'clusters') AS clusters
), holds AS MATERIALIZED (
    SELECT now FROM present WHERE standings = $1 AND now < $2 AND clusters = coalesce($3, clusters)
), written AS (
    INSERT INTO audit_entries (
        id, at, user_id, user_name, agent, key_id, action, resource, resource_name, cluster, namespace, ip, user_agent,
        request_id, count, status_code, outcome, detail
    )
    SELECT r.id, holds.now, r.user_id, r.user_name, r.agent, r.key_id, r.action, r.resource, r.resource_name, r.cluster,
        r.namespace, r.ip, r.user_agent, r.request_id, r.count, r.status_code, r.outcome, r.detail
    FROM holds CROSS JOIN unnest($4::admission_line[]) AS r
    WHERE r.audited
)
SELECT now FROM holds
