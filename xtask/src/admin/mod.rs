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
    output::line,
};
use cli::{AdminTask, RotateTask};
use kv_server::{
    app::App,
    clock::{Clock, Random},
    config::Config,
    keyfile,
    operations::{Acting, list_users, reseal::reseal},
};
use kv_store::{Opener, Page, PageRequest};
use std::{io::Read, sync::Arc};

/// Runs an admin task.
pub(crate) fn run(task: AdminTask) -> Done {
    match task {
        AdminTask::Backup { file } => backup::backup(&file),
        AdminTask::Restore { file, trust_keys } => backup::restore(&file, trust_keys),
        task => with_app(async |app| match task {
            AdminTask::User { task } => user::run(app, task).await,
            AdminTask::Key { task } => key::run(app, task).await,
            AdminTask::Cluster { task } => cluster::run(app, task).await,
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
        let done = reseal(&operator(app)?).await?;
        line(&format!("{} clusters and {} second factors are sealed anew.", done.clusters, done.second_factors));
    }
    let after = match task {
        RotateTask::Signing => "an hour, when every token it signed has ended",
        RotateTask::Sealing => "a minute, when every running server has the new one",
    };
    line(&format!("A new {name} key is in place. The one before it is {}; delete it after {after}.", kept.display()));
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
