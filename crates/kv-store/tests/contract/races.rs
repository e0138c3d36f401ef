//! Races that must not be won: an admission after a revocation was answered, a key for somebody disabled meanwhile.

use crate::world::{Key, World, new_key, occasion, permit, request};
use kv_authz::{Unusable, action::RevokeUserApiKeys};
use kv_store::{ActError, Basis, KeyRefused, admission::Verdict, testing::Backend};
use std::{
    sync::{
        Barrier,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

kv_store::on_both!(
    nothing_is_admitted_after_its_revocation_returned,
    nothing_is_admitted_after_its_owner_was_disabled,
    no_key_is_made_for_an_owner_disabled_meanwhile,
    no_key_is_made_while_all_are_revoked,
);

/// In each round one thread takes the key away, the other asks for admission without pause. A request that began when the
/// taking had returned must be refused.
fn race(world: &World, rounds: &[(Key, Basis)], refusal: Unusable, take: impl Fn(Key) + Sync) {
    let (start, returned) = (Barrier::new(2), AtomicUsize::new(0));
    let mut overlapping = 0;
    thread::scope(|scope| {
        scope.spawn(|| {
            for (round, (key, _)) in rounds.iter().enumerate() {
                start.wait();
                take(*key);
                returned.store(round + 1, Ordering::SeqCst);
            }
        });
        for (round, (_, basis)) in rounds.iter().enumerate() {
            start.wait();
            loop {
                let too_late = returned.load(Ordering::SeqCst) == round + 1;
                let verdict = world.admit(&[request(Some(*basis))])[0].verdict;
                match verdict {
                    Verdict::Admitted => {
                        assert!(!too_late, "round {round}: admitted after the revocation had returned");
                        overlapping += 1;
                    }
                    // A disabled owner's versions have moved too, but the refusal comes first.
                    other => assert_eq!(other, Verdict::Refused(refusal), "round {round}"),
                }
                if too_late {
                    break;
                }
            }
        }
    });
    // The two did meet, or nothing was shown.
    assert!(overlapping > 0);
}

fn nothing_is_admitted_after_its_revocation_returned(backend: Backend) {
    let world = World::new(backend);
    let ann = world.user("ann");
    let rounds: Vec<_> = (0..500).map(|n| world.key(ann, &format!("k{n}"))).collect();
    let rounds: Vec<_> = rounds.into_iter().map(|key| (key, world.basis(key))).collect();
    race(&world, &rounds, Unusable::Revoked, |key| world.revoke(key));
}

fn nothing_is_admitted_after_its_owner_was_disabled(backend: Backend) {
    let world = World::new(backend);
    let rounds: Vec<_> = (0..100).map(|n| world.key(world.user(&format!("u{n}")), "ci")).collect();
    let rounds: Vec<_> = rounds.into_iter().map(|key| (key, world.basis(key))).collect();
    race(&world, &rounds, Unusable::Revoked, |key| world.disable(key.owner));
}

fn no_key_is_made_for_an_owner_disabled_meanwhile(backend: Backend) {
    let world = World::new(backend);
    let (mut made, mut refused) = (0, 0);
    for round in 0..200 {
        let owner = world.user(&format!("u{round}"));
        let start = Barrier::new(2);
        let done = thread::scope(|scope| {
            scope.spawn(|| {
                start.wait();
                world.disable(owner);
            });
            start.wait();
            world.create(&new_key(owner, "ci"), 10)
        });
        match done {
            Ok(()) => made += 1,
            Err(ActError::Refused(KeyRefused::NoOwner)) => refused += 1,
            Err(other) => panic!("{other:?}"),
        }
    }
    assert_eq!(made + refused, 200);
    let live = "revoked_at IS NULL AND user_id IN (SELECT id FROM users WHERE disabled_at IS NOT NULL)";
    assert_eq!(world.database.count("api_keys", live), 0);
    assert_eq!(world.database.count("api_keys", "1 = 1"), made);
}

fn no_key_is_made_while_all_are_revoked(backend: Backend) {
    let world = World::new(backend);
    for round in 0..50 {
        let owner = world.user(&format!("u{round}"));
        let start = Barrier::new(2);
        let told = thread::scope(|scope| {
            let revoked = scope.spawn(|| {
                start.wait();
                let permit = permit::<RevokeUserApiKeys>();
                world.store.revoke_all_keys(&permit, None, owner, None, &occasion()).unwrap()
            });
            start.wait();
            world.create(&new_key(owner, "ci"), 10).unwrap();
            revoked.join().unwrap()
        });
        // Made before and told, or made after and alive: never dead in silence, never alive and told.
        let owner = world.database.literal(owner);
        let dead = world.database.count("api_keys", &format!("user_id = {owner} AND revoked_at IS NOT NULL"));
        assert_eq!(usize::try_from(dead).unwrap(), told.len());
    }
}
