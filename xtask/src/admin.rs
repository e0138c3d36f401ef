//! Administration: the operator's tasks, by the same operations as the API, on record as the operator's. They open the
//! server's database beside it; the server sees what they did with its next request.

use crate::{
    cli::{AdminTask, AuditTask, ClusterTask, KeyTask, SeedOptions, UserTask},
    error::{Done, TaskError, Tried},
    output::{line, progress, rows},
};
use kv_authz::{
    Assignments, UserId,
    assignment::{ClusterScope, NamespaceScope},
};
use kv_server::{
    api::input::written,
    app::App,
    clock::{Clock, Random},
    cluster::{ClusterAccess, KubeconfigSource},
    config::Config,
    operations::{
        Acting, add_cluster::add_cluster, assign_user::assign_user, create_api_key, create_user::create_user,
        disable_user::disable_user, list_api_keys, list_users, read_audit::read_audit, remove_cluster::remove_cluster,
        revoke_api_key,
    },
};
use kv_store::{AuditFilter, ClusterList, KeyFilter, Opener, Page, PageRequest};
use serde_json::{Value, json};
use std::{
    fs::OpenOptions,
    io::{BufWriter, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
    sync::Arc,
};

/// Runs an admin task.
pub(crate) fn run(task: AdminTask) -> Done {
    with_app(async |app| match task {
        AdminTask::User { task } => user(app, task).await,
        AdminTask::Key { task } => key(app, task).await,
        AdminTask::Cluster { task } => cluster(app, task).await,
        AdminTask::Audit { task } => audit(app, task).await,
        AdminTask::Migrate => {
            line("The schema is up to date.");
            Ok(())
        }
    })
}

/// Opens the application as a task and closes it again, whatever the task did.
fn with_app(work: impl AsyncFnOnce(&Arc<App>) -> Done) -> Done {
    let config = Config::from_environment().tried("reading the configuration")?;
    let app = App::start(config, Opener::Task, Clock::system(), Random::system()).tried("opening the database")?;
    let runtime = tokio::runtime::Runtime::new().tried("starting a runtime")?;
    let done = runtime.block_on(work(&app));
    app.stop();
    done
}

fn operator(app: &Arc<App>) -> Done<Acting<'_>> {
    Acting::operator(app).tried("drawing an id")
}

async fn find(app: &Arc<App>, name: &str) -> Done<kv_store::UserRecord> {
    let found = list_users::find_user(operator(app)?, name).await;
    found.map_err(|error| TaskError::because(format!("there is no user `{name}`; see: cargo xtask user list"), error))
}

async fn user(app: &Arc<App>, task: UserTask) -> Done {
    match task {
        UserTask::Create { name, role, password_stdin } => {
            let mut password = String::new();
            if password_stdin {
                std::io::stdin().read_to_string(&mut password).tried("reading the password")?;
                password.truncate(password.trim_end_matches(['\r', '\n']).len());
            }
            let password = password_stdin.then(|| password.into());
            create_user(operator(app)?, &name, &role, password).await?;
            line(&format!("User {name} made, with role {role} and nothing assigned yet."));
        }
        UserTask::Assign { name, cluster, namespaces } => {
            let found = find(app, &name).await?;
            let cluster = (cluster != "*").then_some(cluster.as_str());
            let namespaces = namespaces.map(|names| names.into_iter().collect());
            assign_user(operator(app)?, (found.id, &name), cluster, namespaces).await?;
            line(&format!("Assigned {} to {name}.", cluster.unwrap_or("every cluster")));
        }
        UserTask::List { json } => {
            let clusters = app.clusters().await?;
            let users = all(async |page| Ok(list_users::list_users(operator(app)?, page).await?)).await?;
            let table: Vec<Value> = users.iter().map(|user| told(user, &clusters)).collect();
            rows(json, &["name", "role", "state", "assigned", "created_at"], &table);
        }
        UserTask::Show { name, json } => {
            let clusters = app.clusters().await?;
            rows(
                json,
                &["name", "role", "state", "assigned", "created_at"],
                &[told(&find(app, &name).await?, &clusters)],
            );
        }
        UserTask::Disable { name } => {
            let found = find(app, &name).await?;
            disable_user(operator(app)?, found.id, &name).await?;
            line(&format!("User {name} is disabled, and their keys are revoked."));
        }
    }
    Ok(())
}

fn told(user: &kv_store::UserRecord, clusters: &ClusterList) -> Value {
    json!({
        "id": user.id.to_string(),
        "name": user.name,
        "role": user.role.name(),
        "state": if user.disabled_at.is_some() { "disabled" } else { "active" },
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

async fn key(app: &Arc<App>, task: KeyTask) -> Done {
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

async fn issue(app: &Arc<App>, owner: UserId, name: String, expires_at: Option<&str>) -> Done<create_api_key::Created> {
    let expires_at = expires_at.map(|text| kv_server::api::input::time(text, "--expires-at")).transpose()?;
    let wanted = create_api_key::Wanted { name, expires_at };
    Ok(create_api_key::issue_api_key(operator(app)?, owner, &wanted).await?)
}

async fn cluster(app: &Arc<App>, task: ClusterTask) -> Done {
    match task {
        ClusterTask::Add { name, kubeconfig, context } => {
            let yaml = std::fs::read(&kubeconfig).tried(&format!("reading {}", kubeconfig.display()))?;
            let folder = kubeconfig.parent().unwrap_or(Path::new(".")).to_owned();
            let source = KubeconfigSource::Operator { folder };
            let access = ClusterAccess::from_kubeconfig(&yaml, context.as_deref(), &source)
                .tried(&format!("reading {}", kubeconfig.display()))?;
            add_cluster(operator(app)?, &name, &access).await?;
            line(&format!("Cluster {name} registered ({}).", access.server()));
        }
        ClusterTask::List { json } => {
            let list = app.clusters().await?;
            let told = |cluster: &kv_store::ClusterRecord| {
                json!({
                    "id": cluster.id.to_string(), "name": cluster.name, "server": cluster.server,
                    "created_at": written(cluster.created_at),
                })
            };
            rows(json, &["name", "server", "created_at"], &list.clusters.iter().map(told).collect::<Vec<_>>());
        }
        ClusterTask::Remove { name } => {
            remove_cluster(operator(app)?, &name).await?;
            line(&format!("Cluster {name} removed."));
        }
    }
    Ok(())
}

async fn audit(app: &Arc<App>, task: AuditTask) -> Done {
    let AuditTask::List { user, agent, limit, json } = task;
    let filter = AuditFilter { user, agent, ..AuditFilter::default() };
    let page = read_audit(operator(app)?, filter, PageRequest::new(limit, None)).await?;
    let told = |entry: kv_store::AuditRecord| {
        serde_json::to_value(kv_server::api::audit::AuditEntry::from(entry)).unwrap_or_default()
    };
    let table: Vec<Value> = page.items.into_iter().map(told).collect();
    let columns = [
        "timestamp",
        "user",
        "agent",
        "action",
        "resource",
        "resource_name",
        "cluster",
        "namespace",
        "status_code",
        "outcome",
    ];
    rows(json, &columns, &table);
    Ok(())
}

/// Every item of a paged list.
async fn all<T>(fetch: impl AsyncFn(PageRequest) -> Done<Page<T>>) -> Done<Vec<T>> {
    let (mut items, mut after) = (Vec::new(), None);
    loop {
        let page = fetch(PageRequest::new(PageRequest::MAX_LIMIT, after)).await?;
        items.extend(page.items);
        match page.next {
            Some(next) => after = Some(next),
            None => return Ok(items),
        }
    }
}

/// Fills a database with users and keys.
pub(crate) fn seed(options: &SeedOptions) -> Done {
    with_app(async |app| {
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&options.out);
        let mut out = BufWriter::new(file.tried(&format!("making {}", options.out.display()))?);
        let users = options.users.max(1);
        let mut owners = Vec::new();
        for n in 0..users {
            let id = create_user(operator(app)?, &format!("seed-{n:05}"), "readonly", None).await?;
            assign_user(operator(app)?, (id, "seed"), None, None).await?;
            owners.push(id);
        }
        for (n, &owner) in (0..options.keys).zip(owners.iter().cycle()) {
            let created = issue(app, owner, format!("seed-{n:07}"), None).await?;
            writeln!(out, "{}", created.key.expose()).tried("writing the keys")?;
            if (n + 1) % 1_000 == 0 {
                progress(&format!("{} keys of {}", n + 1, options.keys));
            }
        }
        out.flush().tried("writing the keys")?;
        line(&format!("{users} users, {} keys; the keys are in {}.", options.keys, options.out.display()));
        Ok(())
    })
}
