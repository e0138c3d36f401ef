//! Backup and restore: everything comes back, on either database, and nothing that was revoked since.

use crate::world::{Key, World, entry, id, now, occasion, permit, request};
use kv_authz::{
    Assignment, ClusterScope, NamespaceScope, Role, Unusable,
    action::{AddCluster, AssignUser, CreateRole, SetUpTotp},
    audit::Event,
};
use kv_store::{Challenge, NewCluster, NewUser, Restored, StoreError, admission::Verdict, testing::Backend};

kv_store::on_both!(
    everything_comes_back_on_either_database,
    nothing_that_was_revoked_since_is_revived,
    what_the_database_knows_nothing_of_is_revoked_unless_trusted,
    a_broken_backup_changes_nothing,
);

fn backup(world: &World) -> Vec<u8> {
    let mut out = Vec::new();
    world.store.backup(&mut out, &|_| {}).unwrap();
    out
}

fn restore(world: &World, backup: &[u8], trust_keys: bool) -> Result<Restored, StoreError> {
    let (entry, occasion) = (entry(Event::DatabaseRestore), occasion());
    world.store.restore(&mut &backup[..], trust_keys, (&entry, &occasion), &|_| {})
}

/// A world with something in every table, and two of its keys.
fn filled(backend: Backend) -> (World, Key, Key) {
    let world = World::new(backend);
    let ann = world.user("ann é \"quoted\" \\ 🦀");
    let (one, two) = (world.key_until(ann, "one", Some(now() + time::Duration::DAY)), world.key(ann, "two"));
    let cluster = NewCluster { id: id(), name: "prod".into(), server: "https://x".into(), sealed: (0..=255).collect() };
    world.store.add_cluster(&permit::<AddCluster>(), None, &cluster, &occasion()).unwrap();
    let line = Assignment {
        cluster: ClusterScope::One(cluster.id),
        namespaces: NamespaceScope::Named(["a".to_owned()].into()),
    };
    world.store.assign_user(&permit::<AssignUser>(), None, ann, (id(), &line), &occasion()).unwrap();
    let grants = ["pods:*".parse().unwrap()];
    world.store.create_role(&permit::<CreateRole>(), None, (id(), "lead", &grants), &occasion()).unwrap();
    world.store.set_up_factor(&permit::<SetUpTotp>(), None, (ann, b"sealed"), &occasion()).unwrap();
    world.store.note_uses(&[(one.id, now(), Some("192.0.2.1".into()))]).unwrap();
    world.session("ann é \"quoted\" \\ 🦀");
    let challenge = Challenge {
        digest: vec![1],
        user: ann,
        user_version: world.store.sign_in("ann é \"quoted\" \\ 🦀").unwrap().unwrap().version,
        user_agent: "curl/8".into(),
        expires_at: now() + time::Duration::HOUR,
    };
    world.store.begin_challenge(&challenge, &entry(Event::AuthChallenge), now()).unwrap();
    world.admit(&[request(Some(world.basis(one)))]);
    (world, one, two)
}

fn everything_comes_back_on_either_database(backend: Backend) {
    let (world, one, two) = filled(backend);
    let before = backup(&world);
    for target in [Backend::Sqlite, Backend::Postgres] {
        let other = World::new(target);
        let restored = restore(&other, &before, true).unwrap();
        assert_eq!(restored.rows, u64::try_from(before.iter().filter(|&&byte| byte == b'\n').count() - 1).unwrap());
        let found = other.store.find_user("ann é \"quoted\" \\ 🦀").unwrap().unwrap();
        assert_eq!((found.id, found.role, found.assignments.lines().len()), (one.owner, Role::Dev, 1));
        let cluster = other.store.list_clusters().unwrap().clusters.remove(0);
        assert_eq!(other.store.sealed_cluster(cluster.id).unwrap().unwrap(), (0..=255).collect::<Vec<u8>>());
        assert_eq!(other.store.find_role("lead").unwrap().unwrap().grants.len(), 1);
        assert_eq!(other.store.second_factor(found.id).unwrap().unwrap().sealed, b"sealed");
        let key = other.store.find_key(one.id).unwrap().unwrap();
        assert_eq!((key.expires_at.is_some(), key.last_used_ip.as_deref()), (true, Some("192.0.2.1")));
        for key in [one, two] {
            assert_eq!(other.verdict(other.basis(key)), Verdict::Admitted);
        }
        assert_eq!(other.database.count("sessions", "ended_at IS NULL"), 0, "sessions have ended");
        assert_eq!(other.database.count("audit_entries", "action = 'database.restore'"), 1);
        assert_eq!(other.database.count("audit_entries", "action = 'api_key.create'"), 2);
    }
}

fn nothing_that_was_revoked_since_is_revived(backend: Backend) {
    let (world, one, two) = filled(backend);
    let before = backup(&world);
    let stale = world.basis(two);
    world.revoke(one);
    let entries = world.database.count("audit_entries", "1 = 1");
    let bob = NewUser { id: id(), name: "bob".into(), role: (&Role::Dev).into(), password_hash: None };
    world.store.create_user(&permit::<kv_authz::action::CreateUser>(), None, &bob, &occasion()).unwrap();
    let restored = restore(&world, &before, true).unwrap();
    assert_eq!(restored.keys_revoked, 1);
    assert_eq!(world.verdict(world.basis(one)), Verdict::Refused(Unusable::Revoked));
    assert_eq!(world.verdict(world.basis(two)), Verdict::Admitted);
    assert_eq!(world.verdict(stale), Verdict::Stale, "nothing decided before counts");
    assert!(world.store.find_user("bob").unwrap().is_none(), "what came later is gone");
    // But for the record, which is only added to.
    assert!(world.database.count("audit_entries", "1 = 1") > entries);
    assert_eq!(world.database.count("audit_entries", "action = 'user.create'"), 2);
}

fn what_the_database_knows_nothing_of_is_revoked_unless_trusted(backend: Backend) {
    let (world, one, two) = filled(backend);
    let before = backup(&world);
    let empty = World::new(backend);
    assert_eq!(restore(&empty, &before, false).unwrap().keys_revoked, 2);
    for key in [one, two] {
        assert_eq!(empty.verdict(empty.basis(key)), Verdict::Refused(Unusable::Revoked));
    }
    // Once revoked, a second restore does not revive them, trusted or not.
    assert_eq!(restore(&empty, &before, true).unwrap().keys_revoked, 2);
}

fn a_broken_backup_changes_nothing(backend: Backend) {
    let (world, one, _) = filled(backend);
    let good = backup(&world);
    let half = &good[..good.len() - 20];
    let foreign = b"{\"kubevision_backup\":2}\n{\"table\":\"pg_authid\",\"row\":{}}\n".to_vec();
    for broken in [&b""[..], b"not a backup", b"{\"kubevision_backup\":99}\n", half, &foreign] {
        assert!(restore(&world, broken, true).is_err());
        assert_eq!(world.verdict(world.basis(one)), Verdict::Admitted);
        assert_eq!(world.database.count("sessions", "ended_at IS NULL"), 1);
    }
}
