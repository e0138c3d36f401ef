//! Seals: an untouched log is found untouched, and whatever was changed, removed or slipped in is found.

use crate::world::{World, id, now, occasion_at, permit, request};
use kv_authz::{Role, action::CreateUser, audit::Finish};
use kv_store::{NewUser, Opener, SealKey, Store, Verified, admission::EntryEnd, testing::Backend};
use time::Duration;
use uuid::Uuid;

kv_store::on_both!(
    an_untouched_log_is_intact,
    attack_228_whatever_was_touched_is_found,
    what_a_crash_left_is_adopted,
    what_crashed_while_others_went_on_is_adopted,
    a_seal_whose_answer_was_lost_is_built_upon,
    chains_follow_each_other,
    verification_has_as_much_time_as_it_takes,
);

fn key() -> SealKey {
    SealKey::new([7; 32])
}

fn seal(world: &World) -> usize {
    world.store.seal(&key(), Uuid::from_u128(1), now()).unwrap()
}

fn verify(world: &World) -> Verified {
    world.store.verify_audit(&key(), now() + Duration::SECOND, &|_| {}).unwrap()
}

/// Entries of all kinds: acts, admitted and refused requests, outcomes.
fn world(backend: Backend) -> World {
    let world = World::new(backend);
    let ann = world.user("ann");
    let (key, dead) = (world.key(ann, "ci"), world.key(ann, "dead"));
    world.revoke(dead);
    let intents: Vec<_> = (0..4).map(|_| request(Some(world.basis(key)))).collect();
    let decisions = world.admit(&intents);
    world.admit(&[request(Some(world.basis(dead))), request(None)]);
    let ends: Vec<EntryEnd> = intents
        .iter()
        .zip(&decisions)
        .map(|(intent, decision)| EntryEnd {
            entry: intent.entry.id,
            entry_at: decision.at,
            finish: Finish::with_status(200),
        })
        .collect();
    world.store.end_entries(&ends[..3], now()).unwrap();
    // A second end of an entry is not written, and not sealed.
    let other = EntryEnd { finish: Finish::with_status(500), ..ends[0].clone() };
    world.store.end_entries(&[other, ends[3].clone()], now()).unwrap();
    world
}

fn an_untouched_log_is_intact(backend: Backend) {
    let world = world(backend);
    let rows = world.database.count("audit_entries", "1 = 1") + world.database.count("audit_outcomes", "1 = 1");
    assert_eq!(rows, 4 + 6 + 4);
    assert_eq!(i64::try_from(seal(&world)).unwrap(), rows);
    assert_eq!(seal(&world), 0);
    world.admit(&[request(None)]);
    assert_eq!(seal(&world), 1);
    assert_eq!(verify(&world), Verified { seals: 2, intact: u64::try_from(rows).unwrap() + 1, findings: vec![] });
    // Under another key nothing is.
    let other = world.store.verify_audit(&SealKey::new([8; 32]), now(), &|_| {}).unwrap();
    assert!(other.findings.len() >= 2, "{other:?}");
}

fn attack_228_whatever_was_touched_is_found(backend: Backend) {
    for (touch, found) in [
        ("UPDATE audit_entries SET user_name = 'bob' WHERE action = 'api_key.revoke'", "was changed"),
        ("UPDATE audit_entries SET agent = '' WHERE outcome = 'denied'", "was changed"),
        ("UPDATE audit_entries SET detail = '{}' WHERE action = 'api_key.create'", "was changed"),
        ("UPDATE audit_entries SET ip = NULL WHERE action = 'user.create'", "was changed"),
        ("UPDATE audit_outcomes SET outcome = 'failed'", "was changed"),
        ("UPDATE audit_outcomes SET at = at + 1", "was changed"),
        ("DELETE FROM audit_entries WHERE action = 'api_key.revoke'", "was removed"),
        ("DELETE FROM audit_outcomes", "was removed"),
        ("UPDATE audit_entries SET at = at + 1 WHERE action = 'user.create'", "was removed"),
        ("UPDATE audit_seals SET at = at + 1", "not as it was written"),
        ("UPDATE audit_seals SET number = number + 1 WHERE number = 3", "not as it was written"),
        ("DELETE FROM audit_seals WHERE number = 2", "seals are missing"),
        ("DELETE FROM audit_seals WHERE number = 1", "seals are missing"),
    ] {
        let world = world(backend);
        seal(&world);
        for _ in 0..2 {
            world.admit(&[request(None)]);
            seal(&world);
        }
        assert_eq!(verify(&world).findings, [""; 0]);
        world.database.execute(touch);
        let findings = verify(&world).findings;
        assert!(findings.iter().any(|finding| finding.contains(found)), "{touch}: {findings:?}");
    }
    // A row that has the id of another, and another time.
    for (table, at) in [("audit_entries", "at"), ("audit_outcomes", "entry_at")] {
        let world = world(backend);
        seal(&world);
        world.database.execute(&format!(
            "CREATE TEMPORARY TABLE copied AS SELECT * FROM {table}; UPDATE copied SET {at} = {at} - 1; \
             INSERT INTO {table} SELECT * FROM copied"
        ));
        let findings = verify(&world).findings;
        assert!(findings.iter().any(|finding| finding.contains("was never sealed")), "{table}: {findings:?}");
    }
    // What nobody sealed was not written by a server.
    let world = world(backend);
    seal(&world);
    let slipped = request(None);
    world.admit(std::slice::from_ref(&slipped));
    let findings = verify(&world).findings;
    assert_eq!(findings, [format!("entry {} was never sealed", slipped.entry.id)]);
}

fn what_a_crash_left_is_adopted(backend: Backend) {
    let world = world(backend);
    seal(&world);
    let left = request(None);
    let at = world.admit(std::slice::from_ref(&left))[0].at;
    let end = EntryEnd { entry: left.entry.id, entry_at: at, finish: Finish::with_status(200) };
    world.store.end_entries(&[end], now()).unwrap();
    // Another process, that knows nothing of it.
    let next = Store::open(&world.database.url, Opener::Task).unwrap();
    let since = next.unsealed_since().unwrap();
    assert_eq!(next.adopt_unsealed(since, now() + Duration::SECOND).unwrap(), 2);
    assert_eq!(next.seal(&key(), Uuid::from_u128(2), now()).unwrap(), 2);
    assert_eq!(next.adopt_unsealed(since, now() + Duration::SECOND).unwrap(), 0);
    assert_eq!(verify(&world).findings, [""; 0]);
}

fn what_crashed_while_others_went_on_is_adopted(backend: Backend) {
    let world = World::new(backend);
    let process = |chain: u128, at| {
        let store = Store::open(&world.database.url, Opener::Task).unwrap();
        let user = NewUser { id: id(), name: format!("u{chain} {at}"), role: (&Role::Dev).into(), password_hash: None };
        store.create_user(&permit::<CreateUser>(), None, &user, &occasion_at(at)).unwrap();
        store
    };
    let ago = |hours| now() - Duration::hours(hours);
    let seal = |store: &Store, chain, at| store.seal(&key(), Uuid::from_u128(chain), at).unwrap();
    let long_gone = process(1, ago(30));
    seal(&long_gone, 1, ago(30));
    world.store.note_adopted(ago(20)).unwrap();
    // One crashes with an entry unsealed; another goes on, and so does the one that starts.
    let crashed = process(2, ago(10));
    seal(&crashed, 2, ago(10));
    drop(process(2, ago(10) + Duration::SECOND));
    let other = process(3, ago(1));
    seal(&other, 3, ago(1));
    let next = process(4, now());
    let since = next.unsealed_since().unwrap();
    assert!((ago(10) - Duration::minutes(2)..ago(10)).contains(&since), "not from the chain before the last adoption");
    seal(&next, 4, now());
    assert_eq!(next.adopt_unsealed(since, now() + Duration::SECOND).unwrap(), 1);
    assert_eq!(seal(&next, 4, now()), 1);
    assert_eq!(verify(&world).findings, [""; 0]);
    // Nothing is looked for further back than a week.
    world.store.note_adopted(ago(2_000)).unwrap();
    drop(long_gone);
    world.database.execute("UPDATE audit_seals SET at = 1 WHERE number = 1");
    assert!(next.unsealed_since().unwrap() > ago(1));
}

fn a_seal_whose_answer_was_lost_is_built_upon(backend: Backend) {
    let world = world(backend);
    seal(&world);
    // Written, and this process does not know: a row of its chain that came to be behind its back.
    let twin = Store::open(&world.database.url, Opener::Task).unwrap();
    twin.admit(&[request(None)], now()).unwrap();
    assert_eq!(twin.seal(&key(), Uuid::from_u128(1), now()).unwrap(), 1);
    world.admit(&[request(None)]);
    assert!(world.store.seal(&key(), Uuid::from_u128(1), now()).is_err(), "its number is taken");
    assert_eq!(seal(&world), 1, "and then it goes on after it");
    assert_eq!((verify(&world).seals, verify(&world).findings), (3, vec![]));
    // A chain that has not been remembered for long is looked up as well.
    world.admit(&[request(None)]);
    world.database.execute("DELETE FROM audit_seals");
    let later = now() + Duration::days(100);
    assert_eq!(world.store.seal(&key(), Uuid::from_u128(1), later).unwrap(), 1);
    assert_eq!(world.database.count("audit_seals", "number = 1"), 1);
}

fn chains_follow_each_other(backend: Backend) {
    let world = world(backend);
    seal(&world);
    for chain in 2..5 {
        let next = Store::open(&world.database.url, Opener::Task).unwrap();
        next.admit(&[request(None)], now()).unwrap();
        assert_eq!(next.seal(&key(), Uuid::from_u128(chain), now()).unwrap(), 1);
    }
    assert_eq!((verify(&world).seals, verify(&world).findings), (4, vec![]));
    // A whole process cannot be made to have never been.
    let gone = world.database.literal(Uuid::from_u128(3));
    world.database.execute(&format!("DELETE FROM audit_seals WHERE chain = {gone}"));
    let findings = verify(&world).findings;
    assert!(findings.iter().any(|finding| finding.contains("follows is missing")), "{findings:?}");
    assert!(findings.iter().any(|finding| finding.contains("was never sealed")), "{findings:?}");
}

fn verification_has_as_much_time_as_it_takes(backend: Backend) {
    let world = World::new(backend);
    world.admit(&[request(None)]);
    world.store.seal(&key(), Uuid::from_u128(1), now()).unwrap();
    let verify = || world.store.verify_audit(&key(), now(), &|_| {}).unwrap();
    if backend == Backend::Sqlite {
        // Nothing there ends a reading.
        return assert_eq!(verify().findings, [""; 0]);
    }
    // A statement that takes longer than requests may.
    std::thread::scope(|scope| {
        let held = "BEGIN; LOCK TABLE audit_seals IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(6); COMMIT";
        scope.spawn(|| world.database.execute(held));
        while world.database.count("pg_locks", "mode = 'AccessExclusiveLock' AND relation = 'audit_seals'::regclass")
            == 0
        {
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        assert_eq!(verify().findings, [""; 0]);
    });
}
