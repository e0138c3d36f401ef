//! `cargo xtask role`: custom roles.

use super::{cli::RoleTask, operator};
use crate::{
    error::{Done, TaskError},
    output::{line, rows},
};
use kv_authz::{Pattern, Role};
use kv_server::{api::input::written, app::App, operations::roles};
use kv_store::RoleChange;
use serde_json::{Value, json};
use std::sync::Arc;

/// Runs a task.
pub(super) async fn run(app: &Arc<App>, task: RoleTask) -> Done {
    match task {
        RoleTask::List { json } => {
            let built_in = Role::BUILT_IN.map(|role| json!({"name": role.name(), "grants": "(built in)"}));
            let custom = roles::list_roles(&operator(app)?).await?;
            let custom = custom.iter().map(|role| {
                let grants: Vec<String> = role.grants.iter().map(ToString::to_string).collect();
                json!({
                    "id": role.id.to_string(), "name": role.name, "grants": grants.join(" "), "users": role.users,
                    "created_at": written(role.created_at),
                })
            });
            let table: Vec<Value> = built_in.into_iter().chain(custom).collect();
            rows(json, &["name", "users", "grants"], &table);
        }
        RoleTask::Create { name, grants } => {
            roles::create_role(&operator(app)?, &name, patterns(&grants)?).await?;
            line(&format!("Role {name} made; it holds {} grants.", grants.len()));
        }
        RoleTask::Set { name, grants } => {
            let change = RoleChange { name: None, grants: Some(patterns(&grants)?) };
            roles::change_role(&operator(app)?, &name, change).await?;
            line(&format!("Role {name} holds {} grants now.", grants.len()));
        }
        RoleTask::Delete { name } => {
            roles::delete_role(&operator(app)?, &name).await?;
            line(&format!("Role {name} is deleted; who has it holds nothing."));
        }
    }
    Ok(())
}

fn patterns(texts: &[String]) -> Done<Vec<Pattern>> {
    let parsed = texts.iter().map(|text| text.parse().map_err(|error| TaskError::because(format!("`{text}`"), error)));
    parsed.collect()
}
