//! Retention: what is over is deleted step by step, and nothing else.

use crate::world::{World, now, occasion, permit, request};
use kv_authz::action::PurgeAuditLog;
use kv_store::{Purged, SealKey, testing::Backend};
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

kv_store::on_both!(attack_225_only_what_is_over_is_deleted_and_in_steps, a_purged_log_is_intact);

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
