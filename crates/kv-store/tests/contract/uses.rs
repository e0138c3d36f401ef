//! Last uses: noted apart from the keys, so that a note can neither revive a key nor hold one up.

use crate::world::{Key, World, now};
use kv_authz::{KeyId, Unusable};
use kv_store::{admission::Verdict, testing::Backend};
use std::thread;
use time::Duration;

kv_store::on_both!(
    the_latest_use_is_kept,
    a_note_never_revives_a_key,
    notes_in_opposite_orders_do_not_block_each_other,
);

fn the_latest_use_is_kept(backend: Backend) {
    let world = World::new(backend);
    let key = world.key(world.user("ann"), "ci");
    let first = now();
    let note = |at, ip: &str| {
        world.store.note_uses(&[(key.id, at, Some(ip.into()))]).unwrap();
        let key = world.store.find_key(key.id).unwrap().unwrap();
        (key.last_used_at.unwrap(), key.last_used_ip.unwrap())
    };
    assert_eq!(note(first, "192.0.2.1"), (first, "192.0.2.1".into()));
    let later = first + Duration::SECOND;
    assert_eq!(note(later, "192.0.2.2"), (later, "192.0.2.2".into()));
    // Another replica's older notes arrive late.
    assert_eq!(note(first, "192.0.2.3"), (later, "192.0.2.2".into()));
    world.store.note_uses(&[]).unwrap();
}

fn a_note_never_revives_a_key(backend: Backend) {
    let world = World::new(backend);
    let ann = world.user("ann");
    let keys: Vec<Key> = (0..50).map(|n| world.key(ann, &format!("k{n}"))).collect();
    let bases: Vec<_> = keys.iter().map(|key| world.basis(*key)).collect();
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                for key in &keys {
                    world.store.note_uses(&[(key.id, now(), None)]).unwrap();
                }
            });
        }
        scope.spawn(|| keys.iter().for_each(|key| world.revoke(*key)));
    });
    world.store.note_uses(&keys.iter().map(|key| (key.id, now(), None)).collect::<Vec<_>>()).unwrap();
    assert_eq!(world.database.count("api_keys", "revoked_at IS NOT NULL"), 50);
    assert_eq!(world.database.count("api_keys", "1 = 1"), 50);
    for basis in bases {
        assert_eq!(world.verdict(basis), Verdict::Refused(Unusable::Revoked));
    }
}

fn notes_in_opposite_orders_do_not_block_each_other(backend: Backend) {
    let world = World::new(backend);
    let ann = world.user("ann");
    let keys: Vec<KeyId> = (0..20).map(|n| world.key(ann, &format!("k{n}")).id).collect();
    let forth: Vec<_> = keys.iter().map(|key| (*key, now(), None)).collect();
    let back: Vec<_> = forth.iter().rev().cloned().collect();
    thread::scope(|scope| {
        for uses in [&forth, &back] {
            let store = &world.store;
            scope.spawn(move || (0..20).for_each(|_| store.note_uses(uses).unwrap()));
        }
    });
}
