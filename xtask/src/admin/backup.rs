//! `cargo xtask backup` and `restore`: everything in the database to a file, and back.

use crate::{
    error::{Done, TaskError, Tried},
    output::{line, progress},
};
use kv_authz::audit::{Detail, Entry, Event, Target};
use kv_server::{
    app::App,
    clock::{Clock, Random},
    config::Config,
    operations::Acting,
    replicas,
};
use kv_store::Opener;
use std::{
    fs::{File, OpenOptions},
    io::{BufReader, BufWriter, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
    sync::Arc,
};

fn open(opener: Opener) -> Done<Arc<App>> {
    let config = Config::from_environment().tried("reading the configuration")?;
    App::start(config, opener, Clock::system(), Random::system()).tried("opening the database")
}

/// Writes a backup, beside a running server.
pub(super) fn backup(path: &Path) -> Done {
    let app = open(Opener::Task)?;
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let mut file = BufWriter::new(file.tried(&format!("making {}", path.display()))?);
    let rows = app.store.backup(&mut file, &|rows| progress(&format!("{rows} rows")));
    app.stop();
    let rows = rows.tried("reading the database")?;
    let file = file.into_inner().map_err(|error| TaskError::because("writing the backup", error.into_error()))?;
    file.sync_all().tried("writing the backup")?;
    line(&format!(
        "{rows} rows are in {}. Keep the key files of {} apart from it.",
        path.display(),
        app.config.data_dir.display()
    ));
    Ok(())
}

/// Puts a backup in place. On SQLite no server may run; on PostgreSQL none should.
pub(super) fn restore(path: &Path, trust_keys: bool) -> Done {
    let file = File::open(path).tried(&format!("opening {}", path.display()))?;
    // As a server: on SQLite that is refused while one runs.
    let app = open(Opener::Server)?;
    let acting = Acting::operator(&app).tried("drawing an id")?;
    let entry = Entry {
        id: acting.occasion.id,
        actor: acting.principal.actor(),
        event: Event::DatabaseRestore,
        target: Target::of("databases"),
        origin: acting.occasion.origin.clone(),
        detail: Detail::none(),
    };
    let told = |rows| progress(&format!("{rows} rows"));
    let restored = app.store.restore(&mut BufReader::new(file), trust_keys, (&entry, &acting.occasion), &told);
    if restored.is_ok() {
        // Servers that run all the same, on PostgreSQL, end everything first.
        let runtime = tokio::runtime::Runtime::new().tried("starting a runtime")?;
        runtime.block_on(replicas::settled(&app));
    }
    app.stop();
    let restored = restored.tried("restoring; the database is as it was")?;
    line(&format!("{} rows restored. All sessions have ended.", restored.rows));
    if restored.keys_revoked > 0 {
        let why = "they were revoked since the backup, or the database knew nothing of them";
        line(&format!("{} keys that were good in the backup are revoked: {why}.", restored.keys_revoked));
    }
    if restored.users_disabled > 0 {
        let why = "they are disabled or deleted since, or have lost rights that the backup gives them";
        let then = "see: cargo xtask user list, and user enable";
        line(&format!("{} people who were active in the backup are not: {why}; {then}.", restored.users_disabled));
    }
    std::io::stdout().flush().tried("writing")
}
