//! Keys: made, listed, found, revoked; and what is on disk of them.

use crate::world::{Key, World, digest, id, micros, new_key, now, occasion, occasion_at, permit, refusal, request};
use kv_authz::{
    KeyId, KeyState,
    action::{CreateApiKey, RevokeApiKey, RevokeUserApiKeys},
    audit::{Event, Outcome},
};
use kv_keys::{ApiKey, Environment};
use kv_store::{
    ActError, AuditFilter, KeyFilter, KeyRefused, NewKey, NoSuchKey, PageRequest, StoreError, testing::Backend,
};
use std::{collections::BTreeSet, fs, thread};
use time::Duration;

kv_store::on_both!(
    a_key_is_read_back_as_it_was_made,
    the_limit_is_exact_under_concurrency,
    a_name_is_given_once_under_concurrency,
    a_name_is_free_again_after_revocation_and_expiry,
    names_are_apart_by_owner_and_case,
    a_key_needs_an_active_owner,
    revoking_twice_changes_nothing,
    of_many_revocations_at_once_the_first_stands,
    nobody_revokes_for_another_owner,
    all_keys_of_a_user_are_revoked_and_told,
    lists_are_filtered_and_paged,
    attack_38_a_digest_belongs_to_one_key,
    the_plaintext_is_nowhere,
    every_act_is_on_record,
);

fn a_key_is_read_back_as_it_was_made(backend: Backend) {
    let world = World::new(backend);
    let ann = world.user("ann");
    let (made, end) = (now(), now() + Duration::days(30));
    let new = NewKey { expires_at: Some(end), ..new_key(ann, "dépôt 🚀") };
    world.store.create_key(&permit::<CreateApiKey>(), None, &new, 10, &occasion_at(made)).unwrap();
    let key = world.store.find_key(new.id).unwrap().unwrap();
    assert_eq!((key.id, key.owner, &*key.name, &*key.prefix), (new.id, ann, "dépôt 🚀", "kv_live_Ab3x"));
    assert_eq!((key.created_at, key.expires_at, key.revoked_at, key.last_used_at), (made, Some(end), None, None));
    assert_eq!(key.state(made, Duration::days(7)), KeyState::Active);
    assert_eq!(key.state(end, Duration::days(7)), KeyState::Expired);
    let authority = world.store.key_authority(&new.digest).unwrap().unwrap();
    assert_eq!((authority.id, &*authority.name, &*authority.owner.name), (new.id, "dépôt 🚀", "ann"));
    assert!(world.store.key_authority(&digest()).unwrap().is_none());
    assert!(world.store.find_key(id()).unwrap().is_none());
}

fn the_limit_is_exact_under_concurrency(backend: Backend) {
    const LIMIT: usize = 10;
    let world = World::new(backend);
    let ann = world.user("ann");
    let made = thread::scope(|scope| {
        let world = &world;
        let threads: Vec<_> =
            (0..32).map(|n| scope.spawn(move || world.create(&new_key(ann, &format!("k{n}")), LIMIT as u32))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
    });
    let (made, refused): (Vec<_>, Vec<_>) = made.into_iter().partition(Result::is_ok);
    assert_eq!(made.len(), LIMIT);
    for done in refused {
        assert_eq!(refusal(done), KeyRefused::LimitReached);
    }
    assert_eq!(world.database.count("api_keys", "1 = 1"), 10);
    // A revoked key makes room for one more, and no more.
    let one = world.store.list_keys(ann, KeyFilter::All, PageRequest::default(), now()).unwrap().items.remove(0);
    world.revoke(Key { id: one.id, owner: ann, digest: digest() });
    world.create(&new_key(ann, "again"), LIMIT as u32).unwrap();
    assert_eq!(refusal(world.create(&new_key(ann, "once more"), LIMIT as u32)), KeyRefused::LimitReached);
    assert_eq!(refusal(world.create(&new_key(ann, "none"), 0)), KeyRefused::LimitReached);
}

fn a_name_is_given_once_under_concurrency(backend: Backend) {
    let world = World::new(backend);
    let ann = world.user("ann");
    let made = thread::scope(|scope| {
        let threads: Vec<_> = (0..16).map(|_| scope.spawn(|| world.create(&new_key(ann, "ci"), 100))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
    });
    let (made, refused): (Vec<_>, Vec<_>) = made.into_iter().partition(Result::is_ok);
    assert_eq!(made.len(), 1);
    for done in refused {
        assert_eq!(refusal(done), KeyRefused::NameTaken);
    }
}

fn a_name_is_free_again_after_revocation_and_expiry(backend: Backend) {
    let world = World::new(backend);
    let ann = world.user("ann");
    let key = world.key(ann, "ci");
    assert_eq!(refusal(world.create(&new_key(ann, "ci"), 100)), KeyRefused::NameTaken);
    world.revoke(key);
    let second = world.key_until(ann, "ci", Some(now() + Duration::HOUR));
    assert_eq!(refusal(world.create(&new_key(ann, "ci"), 100)), KeyRefused::NameTaken);
    world.set("api_keys", second.id, &format!("expires_at = {}", micros(now()) - 1));
    let third = world.key_until(ann, "ci", Some(now() + Duration::HOUR));
    // One that admission has seen expired is dead whatever its date says.
    world.set("api_keys", third.id, "expired_seen_at = 1");
    world.key(ann, "ci");
    assert_eq!(world.store.list_keys(ann, KeyFilter::All, PageRequest::default(), now()).unwrap().items.len(), 4);
}

fn names_are_apart_by_owner_and_case(backend: Backend) {
    let world = World::new(backend);
    let (ann, bob) = (world.user("ann"), world.user("bob"));
    for (owner, name) in [(ann, "ci"), (bob, "ci"), (ann, "CI"), (ann, " ci"), (ann, "🚀")] {
        world.key(owner, name);
    }
}

fn a_key_needs_an_active_owner(backend: Backend) {
    let world = World::new(backend);
    let (ann, bob) = (world.user("ann"), world.user("bob"));
    world.disable(ann);
    world.set("users", bob, "deleted_at = 1");
    for owner in [ann, bob, id()] {
        assert_eq!(refusal(world.create(&new_key(owner, "ci"), 100)), KeyRefused::NoOwner);
    }
    assert_eq!(world.database.count("api_keys", "1 = 1"), 0);
}

fn revoking_twice_changes_nothing(backend: Backend) {
    let world = World::new(backend);
    let key = world.key(world.user("ann"), "ci");
    let first = now();
    let revoke = |at, reason| {
        let permit = permit::<RevokeApiKey>();
        world.store.revoke_key(&permit, None, key.owner, key.id, reason, &occasion_at(at)).unwrap();
        world.store.find_key(key.id).unwrap().unwrap().revoked_at
    };
    assert_eq!(revoke(first, Some("leaked \0 in a log")), Some(first));
    assert_eq!(revoke(first + Duration::HOUR, Some("again")), Some(first));
    assert_eq!(revoke(first - Duration::HOUR, None), Some(first));
    let reasons = world.database.texts("SELECT revoke_reason AS value FROM api_keys");
    assert_eq!(reasons, [Some("leaked \u{fffd} in a log".into())]);
}

fn of_many_revocations_at_once_the_first_stands(backend: Backend) {
    let world = World::new(backend);
    let key = world.key(world.user("ann"), "ci");
    thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| world.revoke(key));
        }
    });
    let filter = AuditFilter { action: Some(Event::ApiKeyRevoke), ..AuditFilter::default() };
    let page = world.store.read_audit(&filter, PageRequest::default()).unwrap();
    let after: Vec<_> = page.items.iter().map(|entry| &*entry.detail["after"]).collect();
    assert_eq!(after.len(), 16);
    assert_eq!(after.iter().filter(|text| **text == "ci revoked").count(), 1, "{after:?}");
}

fn nobody_revokes_for_another_owner(backend: Backend) {
    let world = World::new(backend);
    let (ann, bob) = (world.user("ann"), world.user("bob"));
    let key = world.key(ann, "ci");
    for (owner, key) in [(bob, key.id), (ann, id::<KeyId>()), (id(), key.id)] {
        let done = world.store.revoke_key(&permit::<RevokeApiKey>(), None, owner, key, None, &occasion());
        assert_eq!(refusal(done), NoSuchKey);
    }
    assert_eq!(world.store.find_key(key.id).unwrap().unwrap().revoked_at, None);
    assert_eq!(world.database.count("audit_entries", "action = 'api_key.revoke'"), 0);
}

fn all_keys_of_a_user_are_revoked_and_told(backend: Backend) {
    let world = World::new(backend);
    let (ann, bob) = (world.user("ann"), world.user("bob"));
    let keys: Vec<Key> = (0..5).map(|n| world.key(ann, &format!("k{n}"))).collect();
    let other = world.key(bob, "ci");
    world.revoke(keys[0]);
    let first = world.store.find_key(keys[0].id).unwrap().unwrap().revoked_at;
    let revoke_all = || {
        let permit = permit::<RevokeUserApiKeys>();
        world.store.revoke_all_keys(&permit, None, ann, Some("left"), &occasion()).unwrap()
    };
    let told: BTreeSet<KeyId> = revoke_all().into_iter().collect();
    assert_eq!(told, keys[1..].iter().map(|key| key.id).collect());
    assert_eq!(revoke_all(), []);
    assert_eq!(world.store.find_key(keys[0].id).unwrap().unwrap().revoked_at, first);
    assert!(keys.iter().all(|key| world.store.find_key(key.id).unwrap().unwrap().revoked_at.is_some()));
    assert_eq!(world.store.find_key(other.id).unwrap().unwrap().revoked_at, None);
}

fn lists_are_filtered_and_paged(backend: Backend) {
    let world = World::new(backend);
    let (ann, bob) = (world.user("ann"), world.user("bob"));
    let mut keys: Vec<KeyId> = (0..205).map(|n| world.key(ann, &format!("k{n}")).id).collect();
    world.key(bob, "ci");
    keys.reverse();
    let all = |filter, limit| {
        let (mut seen, mut sizes, mut after) = (Vec::new(), Vec::new(), None);
        loop {
            let page = world.store.list_keys(ann, filter, PageRequest::new(limit, after), now()).unwrap();
            sizes.push(page.items.len());
            seen.extend(page.items.into_iter().map(|key| key.id));
            after = page.next;
            if after.is_none() {
                return (seen, sizes);
            }
        }
    };
    assert_eq!(all(KeyFilter::All, 50), (keys.clone(), vec![50, 50, 50, 50, 5]));
    assert_eq!(all(KeyFilter::NotRevoked, 41), (keys.clone(), vec![41; 5]));
    assert_eq!((all(KeyFilter::Live, 200).0.len(), all(KeyFilter::Expired, 200).0.len()), (205, 0));
    // The most a page has, whatever is asked for.
    assert_eq!(all(KeyFilter::All, u16::MAX), (keys.clone(), vec![200, 5]));
    assert_eq!(all(KeyFilter::Revoked, 50), (vec![], vec![0]));
    let revoked: Vec<KeyId> = keys.iter().copied().step_by(2).collect();
    for id in &revoked {
        world.revoke(Key { id: *id, owner: ann, digest: digest() });
    }
    assert_eq!(all(KeyFilter::Revoked, 200).0, revoked);
    let left: Vec<KeyId> = keys.iter().copied().skip(1).step_by(2).collect();
    assert_eq!(all(KeyFilter::NotRevoked, 1).0, left);
    // A key made between two pages appears on neither, and shifts neither.
    let first = world.store.list_keys(ann, KeyFilter::All, PageRequest::new(10, None), now()).unwrap();
    world.key(ann, "late");
    let second = world.store.list_keys(ann, KeyFilter::All, PageRequest::new(10, first.next), now()).unwrap();
    let ids = |items: Vec<kv_store::KeyRecord>| items.into_iter().map(|key| key.id).collect::<Vec<_>>();
    assert_eq!([ids(first.items), ids(second.items)].concat(), keys[..20]);
}

fn attack_38_a_digest_belongs_to_one_key(backend: Backend) {
    let world = World::new(backend);
    let (ann, bob) = (world.user("ann"), world.user("bob"));
    let key = world.key(ann, "ci");
    let twin = NewKey { digest: key.digest, ..new_key(bob, "twin") };
    let done = world.create(&twin, 100);
    assert!(matches!(done, Err(ActError::Store(StoreError::Conflict))), "{done:?}");
    assert_eq!(world.store.key_authority(&key.digest).unwrap().unwrap().id, key.id);
    assert!(world.store.find_key(twin.id).unwrap().is_none());
    // Not even a dead key's digest is given again.
    world.revoke(key);
    assert!(world.create(&twin, 100).is_err());
}

fn the_plaintext_is_nowhere(backend: Backend) {
    let world = World::new(backend);
    let ann = world.user("ann");
    let plain = ApiKey::generate(Environment::Live, &mut getrandom::SysRng).unwrap();
    let new = NewKey { digest: plain.digest(), prefix: plain.prefix(), ..new_key(ann, "ci") };
    world.create(&new, 10).unwrap();
    let key = Key { id: new.id, owner: ann, digest: new.digest };
    let basis = world.basis(key);
    world.verdict(basis);
    world.store.note_uses(&[(key.id, now(), Some("192.0.2.7".into()))]).unwrap();
    world.revoke(key);
    world.admit(&[request(Some(basis))]);

    let dump = match &world.database.url {
        kv_store::DatabaseUrl::Sqlite(path) => {
            let files = fs::read_dir(path.parent().unwrap()).unwrap().map(|entry| entry.unwrap().path());
            let files: Vec<_> = files.collect();
            assert!(files.iter().any(|file| file.to_string_lossy().ends_with("-wal")), "{files:?}");
            files.iter().flat_map(|file| fs::read(file).unwrap()).collect::<Vec<u8>>()
        }
        kv_store::DatabaseUrl::Postgres(_) => {
            let tables = world.database.texts("SELECT tablename AS value FROM pg_tables WHERE schemaname = 'public'");
            let rows = tables.iter().flatten().flat_map(|table| {
                world.database.texts(&format!("SELECT t::text AS value FROM {table} t")).into_iter().flatten()
            });
            rows.collect::<Vec<_>>().join("\n").into_bytes()
        }
    };
    let found = |needle: &[u8]| dump.windows(needle.len()).any(|window| window == needle);
    let hexadecimal = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>().into_bytes();
    // The search finds what is there.
    let digest = new.digest.to_bytes();
    assert!(found(&digest) || found(&hexadecimal(&digest)));
    assert!(found(new.prefix.as_str().as_bytes()));
    let text = plain.expose().as_bytes();
    let hidden = &text[12..];
    for piece in [text, hidden, &text[..13], &hidden[..12], &hidden[hidden.len() - 12..]] {
        assert!(!found(piece) && !found(&hexadecimal(piece)));
    }
}

fn every_act_is_on_record(backend: Backend) {
    let world = World::new(backend);
    let ann = world.user("ann");
    let key = world.key(ann, "ci");
    world.revoke(key);
    refusal(world.create(&new_key(ann, "ci"), 0));
    let page = world.store.read_audit(&AuditFilter::default(), PageRequest::default()).unwrap();
    let seen: Vec<_> = page.items.iter().map(|e| (&*e.action, &*e.user, &*e.agent, e.outcome, e.status_code)).collect();
    let done = |action, status| (action, "operator", "xtask", Outcome::Succeeded, Some(status));
    assert_eq!(seen, [done("api_key.revoke", 204), done("api_key.create", 201), done("user.create", 201)]);
    assert_eq!(page.items[1].detail["object_id"], key.id.to_string());
    assert_eq!(page.items[1].ip.as_deref(), Some("192.0.2.7"));
}
