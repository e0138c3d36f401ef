//! Retention: what is over is deleted step by step, and nothing else.

use crate::world::{World, id, now, occasion, permit, request};
use kv_authz::{
    EntryId, Role,
    action::{CreateUser, PurgeAuditLog},
};
use kv_store::{NewUser, Occasion, Opener, Purged, SealKey, Store, testing::Backend};
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

kv_store::on_both!(
    attack_225_only_what_is_over_is_deleted_and_in_steps,
    days_with_a_partition_go_whole,
    a_purged_log_is_intact,
    attack_228_after_a_purge_what_is_missing_is_found,
    attack_228_a_mark_that_no_purge_made_is_not_believed,
);

fn purge(world: &World, cutoff: OffsetDateTime, most: i64) -> Purged {
    world.store.purge_audit(&permit::<PurgeAuditLog>(), cutoff, most, &occasion()).unwrap()
}

fn attack_225_only_what_is_over_is_deleted_and_in_steps(backend: Backend) {
    let world = World::new(backend);
    let entries: Vec<_> = (0..10).map(|_| request(None)).collect();
    world.admit(&entries);
    // Seven of them are old.
    for entry in &entries[..7] {
        let old = crate::world::micros(now() - Duration::days(100));
        world.set("audit_entries", entry.entry.id, &format!("at = {old}"));
    }
    let cutoff = now() - Duration::days(90);
    // Their ids are of today, as after a clock was set back: they are kept.
    assert!(purge(&world, cutoff, 100).is_nothing());
    for (n, entry) in entries[..7].iter().enumerate() {
        let early = kv_authz::EntryId::from_parts(1_000_000 + n as u64, [9; 10]);
        let early = world.database.literal(early);
        world.set("audit_entries", entry.entry.id, &format!("id = {early}"));
    }
    let steps: Vec<usize> = (0..4).map(|_| purge(&world, cutoff, 3).entries).collect();
    assert_eq!(steps, [3, 3, 1, 0]);
    assert_eq!(world.database.count("audit_entries", "action = 'kubernetes.get'"), 3);
    assert_eq!(world.database.count("audit_entries", "action = 'audit.purge'"), 3, "each step is on record");
    if backend == Backend::Postgres {
        // Whole days go with their partitions, one a step.
        let day = now() - Duration::days(200);
        world.store.prepare_audit_days(day).unwrap();
        let days = || world.database.count("pg_inherits", "inhparent = 'audit_entries'::regclass");
        let before = days();
        assert_eq!(purge(&world, cutoff, 3), Purged { entries: 0, days: 1 });
        assert_eq!(days(), before - 1);
        while !purge(&world, cutoff, 3).is_nothing() {}
        assert_eq!(days(), before - 8);
        assert_eq!(world.database.count("audit_entries", "action = 'kubernetes.get'"), 3);
    }
}

fn days_with_a_partition_go_whole(backend: Backend) {
    let world = World::new(backend);
    let cutoff = (now() - Duration::days(90)).replace_time(time::macros::time!(12:00));
    for day in [200, 92] {
        world.store.prepare_audit_days(now() - Duration::days(day)).unwrap();
    }
    let entries: Vec<_> = (0..6).map(|_| request(None)).collect();
    world.admit(&entries);
    // Three of days that are over, the first of which is not the oldest; two of the day that has begun to be over.
    let day = |days| now() - Duration::days(days);
    for (n, at) in [day(198), day(198), day(91), cutoff - Duration::HOUR, cutoff + Duration::HOUR].iter().enumerate() {
        let millis = u64::try_from(crate::world::micros(*at) / 1_000).unwrap();
        let id = world.database.literal(EntryId::from_parts(millis, [n as u8; 10]));
        world.set("audit_entries", entries[n].entry.id, &format!("at = {}, id = {id}", crate::world::micros(*at)));
    }
    let mut sum = Purged::default();
    loop {
        let step = purge(&world, cutoff, 1_000);
        if step.is_nothing() {
            break;
        }
        sum = Purged { entries: sum.entries + step.entries, days: sum.days + step.days };
    }
    let (deleted, kept) = match backend {
        Backend::Sqlite => (Purged { entries: 4, days: 0 }, 2),
        // Not one row by itself: each day goes with its partition, and the one that is not quite over is left.
        Backend::Postgres => (Purged { entries: 0, days: 10 }, 3),
    };
    assert_eq!(sum, deleted);
    assert_eq!(world.database.count("audit_entries", "action = 'kubernetes.get'"), kept);
}

fn a_purged_log_is_intact(backend: Backend) {
    let world = World::new(backend);
    let key = SealKey::new([7; 32]);
    world.admit(&[request(None), request(None)]);
    world.store.seal(&key, Uuid::from_u128(1), now()).unwrap();
    // Everything so far is over; what comes then is not.
    let cutoff = now() + Duration::days(365);
    assert_eq!(purge(&world, cutoff, 100).entries, 2);
    world.store.seal(&key, Uuid::from_u128(1), now()).unwrap();
    let verified = world.store.verify_audit(&key, now(), &|_| {}).unwrap();
    assert_eq!(verified.findings, [""; 0]);
}

fn key() -> SealKey {
    SealKey::new([7; 32])
}

fn findings(world: &World) -> Vec<String> {
    world.store.verify_audit(&key(), now() + Duration::SECOND, &|_| {}).unwrap().findings
}

/// An entry of some days ago, sealed at the time by the chain of this process.
fn sealed_days_ago(store: &Store, chain: u128, days: i64) {
    let at = now() - Duration::days(days);
    let millis = u64::try_from(crate::world::micros(at) / 1_000).unwrap();
    let occasion = Occasion { id: EntryId::from_parts(millis, [1; 10]), ..crate::world::occasion_at(at) };
    let user = NewUser { id: id(), name: format!("u{days}"), role: (&Role::Dev).into(), password_hash: None };
    store.create_user(&permit::<CreateUser>(), None, &user, &occasion).unwrap();
    store.seal(&key(), Uuid::from_u128(chain), at).unwrap();
}

/// A log of three chains, one after the other, of which some is purged.
fn purged(backend: Backend) -> World {
    let world = World::new(backend);
    let stores: Vec<Store> = (0..3).map(|_| Store::open(&world.database.url, Opener::Task).unwrap()).collect();
    for (chain, days) in [(1, 120), (1, 110), (1, 80), (2, 70), (2, 60), (3, 50), (3, 40)] {
        sealed_days_ago(&stores[chain - 1], chain as u128, days);
    }
    assert_eq!(findings(&world), [""; 0]);
    assert_eq!(purge(&world, now() - Duration::days(90), 100).entries, 2);
    world.store.seal(&key(), Uuid::from_u128(9), now()).unwrap();
    let old = crate::world::micros(now() - Duration::days(90));
    // What the third seal follows is kept, and nothing else of that time.
    assert_eq!(world.database.count("audit_seals", &format!("at < {old}")), 1);
    assert_eq!(findings(&world), [""; 0]);
    world
}

fn attack_228_after_a_purge_what_is_missing_is_found(backend: Backend) {
    for (seals, found) in [
        ("chain = {1} AND number <= 3", "follows is missing"),
        ("chain = {1} AND number = 2", "follows is missing"),
        ("chain = {2}", "follows is missing"),
        ("chain = {2} AND number = 1", "seals are missing before number 2"),
    ] {
        let world = purged(backend);
        let named = |seals: &str, chain: u128| {
            seals.replace(&format!("{{{chain}}}"), &world.database.literal(Uuid::from_u128(chain)))
        };
        let seals = named(&named(seals, 1), 2);
        // With the entries they sealed, which nobody then misses for themselves.
        let entries = "DELETE FROM audit_entries WHERE at < (SELECT max(at) FROM audit_seals WHERE";
        world
            .database
            .execute(&format!("{entries} {seals}) + 1 AND at > (SELECT min(at) FROM audit_seals WHERE {seals}) - 1"));
        world.database.execute(&format!("DELETE FROM audit_seals WHERE {seals}"));
        let findings = findings(&world);
        assert!(findings.iter().any(|finding| finding.contains(found)), "{seals}: {findings:?}");
    }
    // A later purge takes what the one before it kept.
    let world = purged(backend);
    assert_eq!(purge(&world, now() - Duration::days(65), 100).entries, 2);
    world.store.seal(&key(), Uuid::from_u128(9), now()).unwrap();
    assert_eq!((findings(&world), world.database.count("audit_seals", "1 = 1")), (vec![], 6));
}

fn attack_228_a_mark_that_no_purge_made_is_not_believed(backend: Backend) {
    let world = purged(backend);
    let set = |set: &str| world.database.execute(&format!("UPDATE revisions SET {set} WHERE name = 'audit_purged'"));
    set("version = version + 1");
    assert!(findings(&world).iter().any(|finding| finding.contains("is said to be purged")));
    set("version = version - 1");
    assert_eq!(findings(&world), [""; 0]);
    // Nor one whose entry was changed, or slipped in.
    let old = crate::world::micros(now() - Duration::days(1));
    set(&format!("version = {old}"));
    let text = (OffsetDateTime::UNIX_EPOCH + Duration::microseconds(i64::try_from(old).unwrap())).to_string();
    world.database.execute(&format!(
        "UPDATE audit_entries SET detail = '{{\"before\":\"{text}\"}}' WHERE action = 'audit.purge'"
    ));
    let changed = findings(&world);
    assert!(changed.iter().any(|finding| finding.contains("is said to be purged")), "{changed:?}");
    assert!(changed.iter().any(|finding| finding.contains("was changed")), "{changed:?}");
    // And then it hides nothing.
    world.database.execute("DELETE FROM audit_entries WHERE action <> 'audit.purge'");
    assert!(findings(&world).iter().filter(|finding| finding.contains("was removed")).count() >= 5);
}
