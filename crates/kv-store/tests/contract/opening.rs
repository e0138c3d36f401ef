//! Opening: who may, how often, and what the file looks like to others.

use crate::world::{World, request};
use kv_authz::Unusable;
use kv_store::{
    DatabaseUrl, Opener, Store, StoreError,
    admission::Verdict,
    testing::{Backend, TestDatabase},
};
use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink},
    path::PathBuf,
    thread,
};

kv_store::on_both!(
    an_empty_database_is_made_ready_by_many_at_once,
    a_task_is_seen_by_the_servers_next_admission,
    a_schema_of_another_version_is_told
);

fn an_empty_database_is_made_ready_by_many_at_once(backend: Backend) {
    let database = TestDatabase::empty(backend);
    let opened = thread::scope(|scope| {
        let threads: Vec<_> = (0..6).map(|_| scope.spawn(|| Store::open(&database.url, Opener::Task))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
    });
    for store in opened {
        store.unwrap().check().unwrap();
    }
    assert_eq!(database.count("revisions", "1 = 1"), 4);
    assert_eq!(database.count("__diesel_schema_migrations", "1 = 1"), 7);
}

fn a_task_is_seen_by_the_servers_next_admission(backend: Backend) {
    let world = World::new(backend);
    let key = world.key(world.user("ann"), "ci");
    let basis = world.basis(key);
    assert_eq!(world.verdict(basis), Verdict::Admitted);
    let World { store: server, database } = world;
    let task = Store::open(&database.url, Opener::Task).unwrap();
    let task = World { store: task, database };
    for _ in 0..3 {
        assert_eq!(server.admit(&[request(Some(basis))], crate::world::now()).unwrap()[0].verdict, Verdict::Admitted);
    }
    task.revoke(key);
    let verdict = server.admit(&[request(Some(basis))], crate::world::now()).unwrap()[0].verdict;
    assert_eq!(verdict, Verdict::Refused(Unusable::Revoked));
    assert_eq!(server.admission_lanes(), if backend == Backend::Sqlite { 1 } else { 2 });
    assert_eq!(server.url(), &task.database.url);
}

fn a_schema_of_another_version_is_told(backend: Backend) {
    let world = World::new(backend);
    world.store.check().unwrap();
    world.database.execute("DELETE FROM __diesel_schema_migrations");
    let told = world.store.check();
    assert!(matches!(&told, Err(StoreError::Setup(text)) if text.contains("cargo xtask migrate")), "{told:?}");
}

fn path(database: &TestDatabase) -> PathBuf {
    let DatabaseUrl::Sqlite(path) = &database.url else { panic!("not SQLite") };
    path.clone()
}

fn setup(opened: Result<Store, StoreError>) -> String {
    match opened {
        Err(StoreError::Setup(text)) => text,
        other => panic!("{other:?}"),
    }
}

#[test]
fn one_server_at_a_time_serves_a_file() {
    let database = TestDatabase::fresh(Backend::Sqlite);
    let server = database.open();
    let link = path(&database).with_file_name("link.sqlite");
    symlink(path(&database), &link).unwrap();
    // By whatever way it is reached.
    for url in [database.url.clone(), DatabaseUrl::Sqlite(link)] {
        assert!(setup(Store::open(&url, Opener::Server)).contains("another server is running"));
    }
    Store::open(&database.url, Opener::Task).unwrap();
    // Clones are the same server; the last one lets go.
    let clone = server.clone();
    drop(server);
    assert!(Store::open(&database.url, Opener::Server).is_err());
    drop(clone);
    drop(database.open());
}

#[test]
fn the_file_is_its_owners_alone() {
    let world = World::new(Backend::Sqlite);
    world.user("ann");
    let mut seen = 0;
    for file in fs::read_dir(path(&world.database).parent().unwrap()).unwrap() {
        let file = file.unwrap();
        assert_eq!(file.metadata().unwrap().mode() & 0o777, 0o600, "{:?}", file.file_name());
        seen += 1;
    }
    // The file, its log and index, and the lock.
    assert_eq!(seen, 4);
}

#[test]
fn another_users_file_is_refused() {
    let database = TestDatabase::fresh(Backend::Sqlite);
    drop(database.open());
    let file = path(&database);
    // Only root can make this; for others the file cannot be opened either.
    if chown(&file, Some(12_345), None).is_ok() {
        for opener in [Opener::Server, Opener::Task] {
            assert!(setup(Store::open(&database.url, opener)).contains("belongs to system user 12345"));
        }
    }
}

#[test]
fn what_cannot_be_written_is_refused() {
    let database = TestDatabase::fresh(Backend::Sqlite);
    drop(database.open());
    let file = path(&database);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o400)).unwrap();
    assert!(setup(Store::open(&database.url, Opener::Server)).contains("can be written"));
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    drop(database.open());
    let folder = DatabaseUrl::Sqlite(file.parent().unwrap().to_owned());
    setup(Store::open(&folder, Opener::Server));
    fs::write(
        file.with_file_name("notes"),
        "not a database, but long enough to look like one to a careless reader. ".repeat(99),
    )
    .unwrap();
    let notes = DatabaseUrl::Sqlite(file.with_file_name("notes"));
    assert!(matches!(Store::open(&notes, Opener::Server), Err(StoreError::Unavailable { .. })));
}

#[test]
fn a_missing_folder_is_made() {
    let database = TestDatabase::fresh(Backend::Sqlite);
    let deep = path(&database).with_file_name("a").join("b").join("kv.db");
    drop(Store::open(&DatabaseUrl::Sqlite(deep.clone()), Opener::Server).unwrap());
    assert!(deep.is_file());
}
