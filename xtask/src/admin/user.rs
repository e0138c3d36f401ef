//! `cargo xtask user`: people made, looked at, changed, deleted, assigned.

use super::{all, cli::UserTask, find, from_stdin, operator};
use crate::{
    error::Done,
    output::{line, rows},
};
use kv_authz::{
    Assignments,
    assignment::{ClusterScope, NamespaceScope},
};
use kv_server::{
    api::input::written,
    app::App,
    operations::{
        assign_user::{assign_user, unassign_user},
        change_user::{Wanted, change_user},
        create_user::create_user,
        delete_user::{delete_user, reset_second_factor},
        list_users,
        passwords::reset_password,
        sessions::end_user_sessions,
    },
};
use kv_store::ClusterList;
use serde_json::{Value, json};
use std::sync::Arc;

const COLUMNS: [&str; 6] = ["name", "role", "state", "second_factor", "assigned", "created_at"];

/// Runs a task.
pub(super) async fn run(app: &Arc<App>, task: UserTask) -> Done {
    match task {
        UserTask::Create { name, role, password_stdin } => {
            let password = if password_stdin { Some(from_stdin("the password")?.into()) } else { None };
            create_user(&operator(app)?, &name, &role, password).await?;
            line(&format!("User {name} made, with role {role} and nothing assigned yet."));
        }
        UserTask::Assign { name, cluster, namespaces } => {
            let found = find(app, &name).await?;
            let cluster = one(&cluster);
            let namespaces = namespaces.map(|names| names.into_iter().collect());
            assign_user(&operator(app)?, found.id, cluster, namespaces).await?;
            line(&format!("Assigned {} to {name}.", cluster.unwrap_or("every cluster")));
        }
        UserTask::Unassign { name, cluster } => {
            let found = find(app, &name).await?;
            let cluster = one(&cluster);
            unassign_user(&operator(app)?, found.id, cluster).await?;
            line(&format!("{name} no longer has {}.", cluster.unwrap_or("what was given for every cluster")));
        }
        UserTask::List { json } => {
            let clusters = app.clusters().await?;
            let users = all(async |page| Ok(list_users::list_users(operator(app)?, None, page).await?)).await?;
            let table: Vec<Value> = users.iter().map(|user| told(user, &clusters)).collect();
            rows(json, &COLUMNS, &table);
        }
        UserTask::Show { name, json } => {
            let clusters = app.clusters().await?;
            rows(json, &COLUMNS, &[told(&find(app, &name).await?, &clusters)]);
        }
        UserTask::SetRole { name, role } => {
            let found = find(app, &name).await?;
            change_user(&operator(app)?, found.id, &Wanted { role: Some(role.clone()), ..Wanted::default() }).await?;
            line(&format!("{name} has role {role} now."));
        }
        UserTask::Disable { name } => {
            let found = find(app, &name).await?;
            let wanted = Wanted { disabled: Some(true), ..Wanted::default() };
            let done = change_user(&operator(app)?, found.id, &wanted).await?;
            let (keys, sessions) = (done.keys_revoked, done.sessions_ended);
            line(&format!("User {name} is disabled: {keys} keys revoked, {sessions} sessions ended."));
        }
        UserTask::Enable { name, restore_api_keys } => {
            let found = find(app, &name).await?;
            let wanted = Wanted { disabled: Some(false), restore_api_keys, role: None };
            let done = change_user(&operator(app)?, found.id, &wanted).await?;
            line(&format!("User {name} is enabled; {} keys are good again.", done.keys_restored));
        }
        UserTask::Delete { name } => {
            let found = find(app, &name).await?;
            let done = delete_user(&operator(app)?, found.id).await?;
            let (keys, sessions) = (done.keys_revoked, done.sessions_ended);
            line(&format!("User {name} is deleted: {keys} keys revoked, {sessions} sessions ended."));
        }
        UserTask::ResetPassword { name, keep_api_keys } => {
            let found = find(app, &name).await?;
            let password = from_stdin("the password")?.into();
            let done = reset_password(&operator(app)?, found.id, password, !keep_api_keys).await?;
            let (keys, sessions) = (done.keys_revoked, done.sessions_ended);
            line(&format!("The password of {name} is set: {keys} keys revoked, {sessions} sessions ended."));
        }
        UserTask::ResetSecondFactor { name } => {
            let found = find(app, &name).await?;
            let done = reset_second_factor(&operator(app)?, found.id).await?;
            line(&format!("{name} has no second factor now; {} sessions ended.", done.sessions_ended));
        }
        UserTask::EndSessions { name } => {
            let found = find(app, &name).await?;
            let ended = end_user_sessions(&operator(app)?, found.id, None).await?;
            line(&format!("{ended} sessions of {name} ended."));
        }
    }
    Ok(())
}

/// A cluster's name; `*` is every one.
fn one(cluster: &str) -> Option<&str> {
    (cluster != "*").then_some(cluster)
}

fn told(user: &kv_store::UserRecord, clusters: &ClusterList) -> Value {
    json!({
        "id": user.id.to_string(),
        "name": user.name,
        "role": user.role.name(),
        "state": if user.disabled_at.is_some() { "disabled" } else { "active" },
        "second_factor": user.has_second_factor,
        "assigned": assigned(&user.assignments, clusters),
        "created_at": written(user.created_at),
    })
}

fn assigned(assignments: &Assignments, clusters: &ClusterList) -> String {
    let lines = assignments.lines().iter().map(|line| {
        let cluster = match line.cluster {
            ClusterScope::Every => "*",
            ClusterScope::One(id) => {
                clusters.clusters.iter().find(|known| known.id == id).map_or("?", |known| known.name.as_str())
            }
        };
        match &line.namespaces {
            NamespaceScope::All => cluster.to_owned(),
            NamespaceScope::Named(names) => {
                format!("{cluster}[{}]", names.iter().map(String::as_str).collect::<Vec<_>>().join(","))
            }
        }
    });
    lines.collect::<Vec<_>>().join(" ")
}
