//! Administration: the operator's tasks, by the same operations as the API, on record as the operator's. They open the
//! server's database beside it; the server sees what they did with its next request.

mod audit;
mod backup;
pub(crate) mod cli;
mod cluster;
mod key;
mod role;
mod seed;
mod user;

pub(crate) use seed::seed;

use crate::{
    error::{Done, TaskError, Tried},
    output::{line, progress},
};
use cli::{AdminTask, RotateTask};
use kv_server::{
    app::App,
    clock::{Clock, Random},
    config::Config,
    keyfile,
    operations::{Acting, add_cluster, list_users, prove, reseal::reseal},
    seal::Sealer,
};
use kv_store::{Opener, Page, PageRequest};
use std::{io::Read, sync::Arc, time::Duration};

/// Longer than running servers take to read the key files again, which they do every three seconds.
const TAKEN_UP: Duration = Duration::from_secs(10);
/// How often everything is sealed anew before that is given up.
const RESEALS: usize = 3;

/// Runs an admin task.
pub(crate) fn run(task: AdminTask) -> Done {
    match task {
        AdminTask::Backup { file } => backup::backup(&file),
        AdminTask::Restore { file, trust_keys } => backup::restore(&file, trust_keys),
        task => with_app(async |app| match task {
            AdminTask::User { task } => user::run(app, task).await,
            AdminTask::Key { task } => key::run(app, task).await,
            AdminTask::Cluster { task } => cluster::run(app, task).await,
            AdminTask::Kubeconfig { cluster, server } => cluster::kubeconfig(app, &cluster, server).await,
            AdminTask::Role { task } => role::run(app, task).await,
            AdminTask::Audit { task } => audit::run(app, task).await,
            AdminTask::Rotate { task } => rotate(app, &task).await,
            AdminTask::Migrate | AdminTask::Backup { .. } | AdminTask::Restore { .. } => {
                line("The schema is up to date.");
                Ok(())
            }
        }),
    }
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

/// A secret from standard input, without the end of its line.
fn from_stdin(what: &str) -> Done<String> {
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text).tried(&format!("reading {what}"))?;
    text.truncate(text.trim_end_matches(['\r', '\n']).len());
    Ok(text)
}

/// Puts a new key in the place of another. Running servers take it up within seconds.
async fn rotate(app: &Arc<App>, task: &RotateTask) -> Done {
    let name = match task {
        RotateTask::Signing => "signing",
        RotateTask::Sealing => "sealing",
    };
    let now = app.clock.now().unix_timestamp();
    let kept = keyfile::rotate(&app.config.data_dir, name, now, &app.random).tried("making the new key")?;
    app.reload_keys().tried("reading the key files")?;
    if matches!(task, RotateTask::Sealing) {
        // What a server seals before it has taken the new key up would be missed, and lost with the old one.
        progress("waiting ten seconds, until every running server has the new key");
        tokio::time::sleep(TAKEN_UP).await;
        reseal_all(app).await?;
    }
    let after = match task {
        RotateTask::Signing => "an hour, when every token it signed has ended",
        RotateTask::Sealing => "a minute, when every running server has the new one",
    };
    line(&format!("A new {name} key is in place. The one before it is {}; delete it after {after}.", kept.display()));
    Ok(())
}

/// Seals everything anew until nothing needs an older key.
async fn reseal_all(app: &Arc<App>) -> Done {
    for _ in 0..RESEALS {
        let done = reseal(&operator(app)?).await?;
        line(&format!("Sealed anew: clusters {}, second factors {}.", done.clusters, done.second_factors));
        if needing_an_older_key(app)? == 0 {
            return Ok(());
        }
        tokio::time::sleep(TAKEN_UP).await;
    }
    Err(TaskError::new(
        "something is still sealed under an older key: delete none; is every server running with this folder?",
    ))
}

fn needing_an_older_key(app: &Arc<App>) -> Done<usize> {
    let keys = keyfile::load_ring(&app.config.data_dir, "sealing", &app.random).tried("reading the key files")?;
    let newest = Sealer::new(&keys.without_older());
    let clusters = app.store.sealed_clusters().tried("reading the clusters")?;
    let factors = app.store.sealed_second_factors().tried("reading the second factors")?;
    let of_clusters = clusters.iter().filter(|(row, sealed)| newest.open(sealed, add_cluster::PLACE, *row).is_err());
    let of_factors = factors.iter().filter(|(row, sealed)| newest.open(sealed, prove::PLACE, *row).is_err());
    Ok(of_clusters.count() + of_factors.count())
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
