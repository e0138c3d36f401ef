//! A database in trouble: each call ends within two seconds, says so, and works again when the trouble is over.

use crate::world::{World, new_key, now, request};
use diesel::{Connection, SqliteConnection, connection::SimpleConnection};
use kv_store::{
    ActError, AuditFilter, DatabaseUrl, Opener, PageRequest, Store, StoreError,
    testing::{Backend, TestDatabase},
};
use std::{
    env,
    fmt::Debug,
    net::TcpListener,
    process::Command,
    thread,
    time::{Duration, Instant},
};

/// A little more than two seconds, for a machine that is busy with other tests.
const SOON: Duration = Duration::from_millis(2_300);

fn unavailable<T: Debug>(done: Result<T, StoreError>) {
    assert!(matches!(done, Err(StoreError::Unavailable { .. })), "{done:?}");
}

fn within<T>(limit: Duration, work: impl FnOnce() -> T) -> T {
    let started = Instant::now();
    let done = work();
    assert!(started.elapsed() < limit, "{:?}", started.elapsed());
    done
}

fn write(world: &World, name: &str) -> Result<(), StoreError> {
    let owner = world.store.find_user("ann")?.unwrap().id;
    match world.create(&new_key(owner, name), 1_000) {
        Ok(()) => Ok(()),
        Err(ActError::Store(error)) => Err(error),
        Err(other) => panic!("{other:?}"),
    }
}

fn admit(world: &World) -> Result<usize, StoreError> {
    world.store.admit(&[request(None)], now()).map(|decisions| decisions.len())
}

fn read(world: &World) -> Result<usize, StoreError> {
    world.store.read_audit(&AuditFilter::default(), PageRequest::default()).map(|page| page.items.len())
}

#[test]
fn a_file_that_another_process_writes_is_unavailable_until_it_is_done() {
    let world = World::new(Backend::Sqlite);
    world.user("ann");
    let DatabaseUrl::Sqlite(path) = &world.database.url else { unreachable!() };
    let mut other = SqliteConnection::establish(path.to_str().unwrap()).unwrap();
    other.batch_execute("BEGIN IMMEDIATE").unwrap();
    // Many at once wait no longer than one.
    within(SOON, || {
        thread::scope(|scope| {
            for n in 0..8 {
                let world = &world;
                scope.spawn(move || unavailable(write(world, &format!("k{n}"))));
                scope.spawn(move || unavailable(admit(world)));
            }
        });
    });
    // Readers do not wait at all.
    within(Duration::from_millis(500), || read(&world)).unwrap();
    other.batch_execute("ROLLBACK").unwrap();
    write(&world, "k").unwrap();
    admit(&world).unwrap();
    assert_eq!(world.database.count("api_keys", "1 = 1"), 1);
    assert_eq!(world.database.count("audit_entries", "action = 'kubernetes.get'"), 1);
}

/// The disk is full: this process may make no file larger. The system would end it for trying, unless that is ignored
/// from its start, so the test runs itself once more that way.
#[test]
#[expect(clippy::disallowed_methods, reason = "this is how the second run knows that it is one")]
fn a_full_disk_is_unavailable_until_there_is_room() {
    const AGAIN: &str = "KUBEVISION_TEST_FULL_DISK";
    if env::var_os(AGAIN).is_some() {
        return full_disk();
    }
    let again = Command::new("sh")
        .args(["-c", "trap '' XFSZ; exec \"$@\"", "sh"])
        .arg(env::current_exe().unwrap())
        .args(["--exact", "failures::a_full_disk_is_unavailable_until_there_is_room", "--nocapture"])
        .env(AGAIN, "1")
        .output()
        .unwrap();
    let words = String::from_utf8_lossy(&again.stdout);
    assert!(again.status.success() && words.contains("1 passed"), "{words}{}", String::from_utf8_lossy(&again.stderr));
}

fn full_disk() {
    let world = World::new(Backend::Sqlite);
    world.user("ann");
    let limit = |limit: &str| {
        let process = std::process::id().to_string();
        let set = Command::new("prlimit").args(["--pid", &process, &format!("--fsize={limit}:")]).status();
        assert!(set.unwrap().success());
    };
    let DatabaseUrl::Sqlite(path) = &world.database.url else { unreachable!() };
    let log = std::fs::metadata(path.with_extension("db-wal")).unwrap().len();
    limit(&(log + 20_000).to_string());
    let mut written = 0;
    let failure = loop {
        match within(SOON, || write(&world, &format!("k{written}"))) {
            Ok(()) => written += 1,
            Err(error) => break error,
        }
    };
    unavailable::<()>(Err(failure));
    // A smaller one may still find room.
    let failure = (0..100).find_map(|_| within(SOON, || admit(&world)).err());
    unavailable::<()>(failure.map_or(Ok(()), Err));
    assert_eq!(world.database.count("api_keys", "1 = 1"), written);
    assert!(read(&world).is_ok());
    limit("unlimited");
    write(&world, "k").unwrap();
    admit(&world).unwrap();
    assert_eq!(world.database.count("api_keys", "1 = 1"), written + 1);
    assert_eq!(
        world.database.texts("SELECT integrity_check AS value FROM pragma_integrity_check"),
        [Some("ok".into())]
    );
}

#[test]
fn a_server_that_is_down_is_unavailable() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = DatabaseUrl::parse(&format!("postgres://kv:hunter2@127.0.0.1:{port}/kv")).unwrap();
    let opened = within(SOON, || Store::open(&url, Opener::Server));
    assert!(!format!("{opened:?}").contains("hunter2"), "{opened:?}");
    unavailable(opened);
}

#[test]
fn a_server_that_does_not_answer_is_unavailable() {
    // Takes connections and says nothing, as a hung server does.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("postgres://kv@127.0.0.1:{}/kv", silent.local_addr().unwrap().port());
    let url = DatabaseUrl::parse(&url).unwrap();
    // libpq counts its two seconds in whole ones.
    unavailable(within(Duration::from_secs(4), || Store::open(&url, Opener::Server)));
}

#[test]
fn a_restarted_server_is_met_by_the_next_call() {
    let world = World::new(Backend::Postgres);
    world.user("ann");
    for round in 0..3 {
        // So that every connection of the pools is open.
        thread::scope(|scope| {
            for n in 0..8 {
                let world = &world;
                scope.spawn(move || write(world, &format!("{round}-{n}")).unwrap());
                scope.spawn(move || admit(world).unwrap());
            }
        });
        world.database.end_connections();
        within(SOON, || write(&world, &format!("{round}"))).unwrap();
        world.database.end_connections();
        within(SOON, || read(&world)).unwrap();
        // Whether a lost connection took the batch along is not known, so it is not sent twice; each lane loses one.
        let lost = (0..).take_while(|_| within(SOON, || admit(&world)).is_err()).count();
        assert!(lost <= world.store.admission_lanes(), "{lost}");
        for _ in 0..4 {
            admit(&world).unwrap();
        }
    }
}

#[test]
fn a_server_that_goes_away_is_unavailable_until_it_is_back() {
    let world = World::new(Backend::Postgres);
    world.user("ann");
    admit(&world).unwrap();
    let before = world.database.count("audit_entries", "1 = 1");
    world.database.shut_out();
    for _ in 0..2 {
        unavailable(within(SOON, || read(&world)));
        unavailable(within(SOON, || write(&world, "k")));
        unavailable(within(SOON, || admit(&world)));
        unavailable(within(SOON, || world.store.check()));
    }
    let opened = within(SOON, || Store::open(&world.database.url, Opener::Server));
    unavailable(opened);
    world.database.admit_again();
    let back = Instant::now();
    let mut written = false;
    // Each connection of before takes somebody to find out that it is dead.
    while let Err(error) = read(&world).and_then(|_| if written { Ok(()) } else { write(&world, "k") }).and_then(|()| {
        written = true;
        admit(&world)
    }) {
        assert!(back.elapsed() < Duration::from_secs(5), "{error:?}");
    }
    assert_eq!(world.database.count("api_keys", "1 = 1"), 1);
    assert!(world.database.count("audit_entries", "1 = 1") > before);
}

#[test]
fn a_locked_row_is_unavailable_and_nothing_is_half_done() {
    let world = World::new(Backend::Postgres);
    world.user("ann");
    let DatabaseUrl::Postgres(url) = &world.database.url else { unreachable!() };
    let mut other = diesel::PgConnection::establish(url).unwrap();
    other.batch_execute("BEGIN; UPDATE users SET version = version").unwrap();
    within(SOON, || {
        thread::scope(|scope| {
            for n in 0..3 {
                let world = &world;
                scope.spawn(move || unavailable(write(world, &format!("k{n}"))));
            }
        });
    });
    // Admission reads what is committed and waits for nobody.
    within(Duration::from_millis(500), || admit(&world)).unwrap();
    other.batch_execute("ROLLBACK").unwrap();
    write(&world, "k").unwrap();
    assert_eq!(world.database.count("api_keys", "1 = 1"), 1);
}

/// Waits until something is so, with all the time a busy machine may take.
fn until(what: &str, so: impl Fn() -> bool) {
    let started = Instant::now();
    while !so() {
        assert!(started.elapsed() < Duration::from_secs(20), "in vain waited until {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_server_that_answers_nobody_is_silent_until_it_does() {
    let world = World::new(Backend::Postgres);
    world.user("ann");
    let DatabaseUrl::Postgres(url) = &world.database.url else { unreachable!() };
    let mut other = diesel::PgConnection::establish(url).unwrap();
    other.batch_execute("BEGIN; LOCK TABLE audit_entries IN ACCESS EXCLUSIVE MODE").unwrap();
    thread::scope(|scope| {
        let store = &world.store;
        let admitted = scope.spawn(|| admit(&world));
        until("admission is silent", || store.admission_is_silent());
        assert!(!store.is_silent(), "nobody asks anything else");
        // Others are answered meanwhile, which says nothing of admission.
        assert!(store.find_user("ann").unwrap().is_some());
        assert!(store.admission_is_silent());
        let reading = scope.spawn(|| read(&world));
        until("reads are silent", || store.is_silent());
        unavailable(reading.join().unwrap());
        other.batch_execute("ROLLBACK").unwrap();
        admitted.join().unwrap().unwrap();
        assert!(!store.admission_is_silent() && !store.is_silent());
    });
}

#[test]
fn without_a_server_a_test_says_what_to_do() {
    let again = Command::new(env::current_exe().unwrap())
        .args(["--exact", "clusters::postgres::a_name_has_one_cluster", "--nocapture"])
        .env_remove(kv_store::testing::POSTGRES)
        .output()
        .unwrap();
    let words = [again.stdout, again.stderr].concat();
    assert!(!again.status.success());
    assert!(String::from_utf8_lossy(&words).contains("run the tests with `cargo xtask test`"));
    drop(TestDatabase::fresh(Backend::Sqlite));
}
