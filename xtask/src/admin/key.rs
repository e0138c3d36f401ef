//! `cargo xtask key`: keys made for users, listed and revoked.

use super::{all, cli::KeyTask, find, operator};
use crate::{
    error::{Done, TaskError},
    output::{line, progress, rows},
};
use kv_authz::UserId;
use kv_server::{
    api::input::written,
    app::App,
    operations::{create_api_key, list_api_keys, revoke_api_key},
};
use kv_store::KeyFilter;
use serde_json::{Value, json};
use std::sync::Arc;

/// Runs a task.
pub(super) async fn run(app: &Arc<App>, task: KeyTask) -> Done {
    match task {
        KeyTask::Create { user, name, expires_at, json } => {
            let owner = find(app, &user).await?.id;
            let created = issue(app, owner, name, expires_at.as_deref()).await?;
            if json {
                let told = json!({
                    "id": created.id.to_string(), "name": created.name, "key": created.key.expose(),
                    "prefix": created.key.prefix().to_string(), "expires_at": created.expires_at.map(written),
                });
                line(&told.to_string());
            } else {
                progress(&format!("Key `{}` of {user} ({}). It is not shown again:", created.name, created.id));
                line(created.key.expose());
            }
        }
        KeyTask::List { user, json } => {
            let owner = find(app, &user).await?.id;
            let keys = all(async |page| {
                Ok(list_api_keys::list_user_api_keys(operator(app)?, owner, KeyFilter::All, page).await?)
            });
            let told = |listed: &list_api_keys::Listed| {
                json!({
                    "id": listed.key.id.to_string(), "name": listed.key.name, "prefix": listed.key.prefix,
                    "state": listed.state, "created_at": written(listed.key.created_at),
                    "expires_at": listed.key.expires_at.map(written),
                    "last_used_at": listed.key.last_used_at.map(written), "last_used_ip": listed.key.last_used_ip,
                })
            };
            let table: Vec<Value> = keys.await?.iter().map(told).collect();
            rows(json, &["id", "name", "prefix", "state", "created_at", "expires_at", "last_used_at"], &table);
        }
        KeyTask::Revoke { id, reason } => {
            let key = id.parse().map_err(|_| {
                TaskError::new("a key is revoked by its id, a UUID; see: cargo xtask key list --user NAME")
            })?;
            revoke_api_key::revoke_api_key(operator(app)?, key, reason).await?;
            line("Revoked.");
        }
        KeyTask::RevokeAll { user, reason } => {
            let owner = find(app, &user).await?.id;
            let revoked = revoke_api_key::revoke_all_user_api_keys(operator(app)?, owner, reason).await?;
            line(&format!("{revoked} keys of {user} revoked."));
        }
    }
    Ok(())
}

/// Makes a key for a user.
pub(super) async fn issue(
    app: &Arc<App>,
    owner: UserId,
    name: String,
    expires_at: Option<&str>,
) -> Done<create_api_key::Created> {
    let expires_at = expires_at.map(|text| kv_server::api::input::time(text, "--expires-at")).transpose()?;
    let wanted = create_api_key::Wanted { name, expires_at };
    Ok(create_api_key::issue_api_key(operator(app)?, owner, &wanted).await?)
}
