//! What a database knows of people and credentials, carried over a restore: what was taken since the backup stays taken.
//!
//! Where that cannot be said of a person's rights row by row, the person comes back disabled, and the operator decides.

use crate::{backend::AnyConn, backup::Restored, error::Result};
use diesel::{
    QueryableByName, RunQueryDsl, sql_query,
    sql_types::{BigInt, Nullable},
};

/// What is remembered while the tables are replaced. They go with the connection.
const REMEMBERED: [(&str, &str); 8] = [
    ("known_keys", "SELECT id, revoked_at, revoked_by, revoke_reason, expired_seen_at FROM api_keys"),
    ("known_users", "SELECT id, role, disabled_at, deleted_at FROM users"),
    ("known_versions", "SELECT max(version) AS version FROM users"),
    ("known_roles", "SELECT id, grants, deleted_at FROM roles"),
    ("known_assignments", "SELECT user_id, cluster_id, namespaces FROM assignments"),
    ("known_clusters", "SELECT id, impersonate, webhook_digest FROM clusters"),
    ("known_factors", "SELECT user_id, last_step FROM second_factors"),
    ("known_codes", "SELECT user_id, hash FROM recovery_codes WHERE used_at IS NULL"),
];

/// People who may do something.
const ACTIVE: &str = "SELECT count(*) AS value FROM users WHERE disabled_at IS NULL AND deleted_at IS NULL";
/// Keys that are good, whoever's they are.
const LIVE: &str = "SELECT count(*) AS value FROM api_keys WHERE revoked_at IS NULL";

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = Nullable<BigInt>)]
    value: Option<i64>,
}

pub(crate) fn run(conn: &mut AnyConn, sql: &str) -> Result<usize> {
    Ok(match conn {
        AnyConn::Sqlite(sqlite) => sql_query(sql).execute(sqlite)?,
        AnyConn::Pg(pg) => sql_query(sql).execute(pg)?,
    })
}

/// Remembers what the database knows now, before it is replaced.
pub(crate) fn remember(conn: &mut AnyConn) -> Result<()> {
    for (name, query) in REMEMBERED {
        run(conn, &format!("CREATE TEMPORARY TABLE {name} AS {query}"))?;
    }
    Ok(())
}

/// Applies it to what was restored, and tells what was good in the backup and is not any more.
pub(crate) fn revive_nothing(conn: &mut AnyConn, trust_keys: bool, now: i64, restored: &mut Restored) -> Result<()> {
    let (keys, people) = (count(conn, LIVE)?, count(conn, ACTIVE)?);
    keep_people_out(conn, now)?;
    keep_factors_used(conn, now)?;
    keep_keys_revoked(conn, trust_keys, now)?;
    keep_clusters_narrow(conn)?;
    run(conn, &format!("UPDATE sessions SET ended_at = {now}, ended_by = 'operator' WHERE ended_at IS NULL"))?;
    run(conn, "DELETE FROM refresh_tokens")?;
    // Nothing that was decided before counts any more.
    run(conn, "UPDATE users SET version = version + coalesce((SELECT version FROM known_versions), 0) + 1")?;
    run(conn, "UPDATE roles SET version = version + 1000000")?;
    run(conn, "UPDATE revisions SET version = version + 1 WHERE name = 'clusters'")?;
    restored.keys_revoked = fewer(keys, count(conn, LIVE)?);
    restored.users_disabled = fewer(people, count(conn, ACTIVE)?);
    Ok(())
}

/// People disabled or deleted stay so, and roles deleted. Who would get rights back that they do not have now is disabled.
fn keep_people_out(conn: &mut AnyConn, now: i64) -> Result<()> {
    for (table, column) in [("users", "disabled_at"), ("users", "deleted_at"), ("roles", "deleted_at")] {
        carry(conn, table, column)?;
    }
    // Somebody deleted leaves nothing behind that could be used, as when it was done.
    run(conn, "UPDATE users SET password_hash = NULL WHERE deleted_at IS NOT NULL")?;
    run(conn, "DELETE FROM assignments WHERE user_id IN (SELECT id FROM users WHERE deleted_at IS NOT NULL)")?;
    run(
        conn,
        &format!(
            "UPDATE users SET disabled_at = {now} WHERE disabled_at IS NULL AND deleted_at IS NULL AND ( \
             EXISTS (SELECT 1 FROM known_users k WHERE k.id = users.id AND k.role <> users.role) \
             OR (EXISTS (SELECT 1 FROM known_users k WHERE k.id = users.id) AND ( \
             EXISTS (SELECT 1 FROM roles r JOIN known_roles k ON k.id = r.id \
             WHERE r.id = users.role AND r.deleted_at IS NULL AND k.grants <> r.grants) \
             OR EXISTS (SELECT 1 FROM assignments a WHERE a.user_id = users.id AND NOT EXISTS \
             (SELECT 1 FROM known_assignments k WHERE k.user_id = a.user_id \
             AND k.cluster_id IS NOT DISTINCT FROM a.cluster_id \
             AND k.namespaces IS NOT DISTINCT FROM a.namespaces)))))"
        ),
    )?;
    Ok(())
}

/// A code that was shown is not accepted again, and one that was replaced is not good any more.
fn keep_factors_used(conn: &mut AnyConn, now: i64) -> Result<()> {
    run(
        conn,
        "UPDATE second_factors SET last_step = \
         (SELECT k.last_step FROM known_factors k WHERE k.user_id = second_factors.user_id) \
         WHERE EXISTS (SELECT 1 FROM known_factors k \
         WHERE k.user_id = second_factors.user_id AND k.last_step > second_factors.last_step)",
    )?;
    run(
        conn,
        &format!(
            "UPDATE recovery_codes SET used_at = {now} WHERE used_at IS NULL \
             AND EXISTS (SELECT 1 FROM known_users k WHERE k.id = recovery_codes.user_id) \
             AND NOT EXISTS (SELECT 1 FROM known_codes k \
             WHERE k.user_id = recovery_codes.user_id AND k.hash = recovery_codes.hash)"
        ),
    )?;
    Ok(())
}

/// Keys revoked stay so, whatever becomes of their owner. Those that the database knows nothing of must be trusted.
fn keep_keys_revoked(conn: &mut AnyConn, trust_keys: bool, now: i64) -> Result<()> {
    for column in ["revoked_by", "revoke_reason", "revoked_at", "expired_seen_at"] {
        carry(conn, "api_keys", column)?;
    }
    // Enabling the owner brings back only what this restore revokes with them, below.
    run(
        conn,
        "UPDATE api_keys SET revoked_with_owner_at = NULL WHERE EXISTS \
         (SELECT 1 FROM known_keys k WHERE k.id = api_keys.id AND k.revoked_at IS NOT NULL)",
    )?;
    if !trust_keys {
        run(
            conn,
            &format!(
                "UPDATE api_keys SET revoked_at = {now}, revoked_by = 'operator', \
                 revoke_reason = 'restored from a backup', revoked_with_owner_at = NULL \
                 WHERE revoked_at IS NULL AND NOT EXISTS (SELECT 1 FROM known_keys k WHERE k.id = api_keys.id)"
            ),
        )?;
    }
    run(
        conn,
        &format!(
            "UPDATE api_keys SET revoked_at = {now}, revoked_by = 'operator', revoke_reason = 'owner disabled', \
             revoked_with_owner_at = (SELECT u.disabled_at FROM users u WHERE u.id = api_keys.user_id) \
             WHERE revoked_at IS NULL AND user_id IN \
             (SELECT id FROM users WHERE disabled_at IS NOT NULL OR deleted_at IS NOT NULL)"
        ),
    )?;
    Ok(())
}

/// Calls that name their callers go on doing so, and no webhook token comes back that is not in force now.
fn keep_clusters_narrow(conn: &mut AnyConn) -> Result<()> {
    run(
        conn,
        "UPDATE clusters SET impersonate = 1 WHERE EXISTS \
         (SELECT 1 FROM known_clusters k WHERE k.id = clusters.id AND k.impersonate <> 0)",
    )?;
    run(
        conn,
        "UPDATE clusters SET webhook_digest = NULL WHERE NOT EXISTS \
         (SELECT 1 FROM known_clusters k WHERE k.id = clusters.id AND k.webhook_digest = clusters.webhook_digest)",
    )?;
    Ok(())
}

/// Gives a restored row what the database knew of it, where the backup knows nothing.
fn carry(conn: &mut AnyConn, table: &str, column: &str) -> Result<()> {
    let known = if table == "api_keys" { "known_keys".to_owned() } else { format!("known_{table}") };
    let same = format!("SELECT k.{column} FROM {known} k WHERE k.id = {table}.id AND k.{column} IS NOT NULL");
    run(conn, &format!("UPDATE {table} SET {column} = ({same}) WHERE {column} IS NULL AND EXISTS ({same})"))?;
    Ok(())
}

fn count(conn: &mut AnyConn, sql: &str) -> Result<i64> {
    let found: Count = match conn {
        AnyConn::Sqlite(sqlite) => sql_query(sql).get_result(sqlite)?,
        AnyConn::Pg(pg) => sql_query(sql).get_result(pg)?,
    };
    Ok(found.value.unwrap_or(0))
}

fn fewer(before: i64, after: i64) -> usize {
    usize::try_from(before - after).unwrap_or(0)
}
