//! Backup and restore: everything comes back, on either database, and nothing that was revoked since.

use crate::world::{Key, World, entry, id, now, occasion, permit, refusal, request};
use kv_authz::{
    Assignment, ClusterScope, NamespaceScope, Role, Unusable,
    action::{
        AddCluster, AssignUser, ChangeCluster, ChangeRole, CreateRole, DeleteUser, EnableTotp, RenewRecoveryCodes,
        Reverify, SetUpTotp, UnassignUser,
    },
    audit::Event,
};
use kv_store::{
    Challenge, FactorRefused, NewCluster, NewUser, Proof, Restored, RoleChange, StoreError, UserChange,
    admission::Verdict, testing::Backend,
};

kv_store::on_both!(
    everything_comes_back_on_either_database,
    nothing_that_was_revoked_since_is_revived,
    who_lost_rights_since_gets_none_back,
    a_cluster_is_called_no_wider_than_it_is_now,
    a_key_revoked_since_does_not_come_back_with_its_owner,
    what_was_used_since_is_not_good_again,
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
    let cluster = NewCluster {
        id: id(),
        name: "prod".into(),
        server: "https://x".into(),
        sealed: (0..=255).collect(),
        impersonate: false,
    };
    world.store.add_cluster(&permit::<AddCluster>(), None, &cluster, &occasion()).unwrap();
    let line = Assignment {
        cluster: ClusterScope::One(cluster.id),
        namespaces: NamespaceScope::Named(["a".to_owned()].into()),
    };
    world.store.assign_user(&permit::<AssignUser>(), None, &world.read(ann), (id(), &line), &occasion()).unwrap();
    let grants = ["pods:*".parse().unwrap()];
    world.store.create_role(&permit::<CreateRole>(), None, (id(), "lead", &grants), &occasion()).unwrap();
    let (session, _) = world.session("ann é \"quoted\" \\ 🦀");
    world.store.set_up_factor(&permit::<SetUpTotp>(), None, (ann, b"sealed"), &occasion()).unwrap();
    let (enable, codes) = (permit::<EnableTotp>(), ["$code1".to_owned(), "$code2".to_owned()]);
    world.store.enable_factor(&enable, None, (ann, session), (b"sealed", 100, &codes), &occasion()).unwrap();
    let challenge = Challenge {
        digest: vec![1],
        user: ann,
        user_version: world.store.sign_in("ann é \"quoted\" \\ 🦀").unwrap().unwrap().version,
        user_agent: "curl/8".into(),
        expires_at: now() + time::Duration::HOUR,
    };
    world.store.begin_challenge(&challenge, &entry(Event::AuthChallenge), now()).unwrap();
    world.store.note_uses(&[(one.id, now(), Some("192.0.2.1".into()))]).unwrap();
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

fn a_cluster_is_called_no_wider_than_it_is_now(backend: Backend) {
    let (world, ..) = filled(backend);
    let cluster = world.store.list_clusters().unwrap().clusters.remove(0).id;
    let digest = |byte| world.database.execute(&format!("UPDATE clusters SET webhook_digest = {byte}"));
    let bytes = |text: &str| match backend {
        Backend::Sqlite => format!("x'{text}'"),
        Backend::Postgres => format!("'\\x{text}'"),
    };
    let has = || world.database.count("clusters", "webhook_digest IS NOT NULL");
    digest(bytes("01"));
    let before = backup(&world);
    restore(&world, &before, true).unwrap();
    assert_eq!(has(), 1, "the token in force stays so");
    digest(bytes("02"));
    let permit = permit::<ChangeCluster>();
    world.store.set_impersonation(&permit, None, cluster, true, &occasion()).unwrap();
    restore(&world, &before, true).unwrap();
    assert_eq!(has(), 0, "a token taken away does not come back");
    assert!(world.store.list_clusters().unwrap().clusters[0].impersonate);
}

fn who_lost_rights_since_gets_none_back(backend: Backend) {
    let world = World::new(backend);
    let (every, role) = (Assignment { cluster: ClusterScope::Every, namespaces: NamespaceScope::All }, id());
    let create = permit::<CreateRole>();
    world.store.create_role(&create, None, (role, "lead", &["pods:*".parse().unwrap()]), &occasion()).unwrap();
    let lead = Role::Custom { id: role, name: "lead".into(), grants: vec![] };
    let names = ["as before", "disabled", "deleted", "demoted", "unassigned", "lead"];
    let users = names.map(|name| world.user(name));
    for user in users {
        world.store.assign_user(&permit::<AssignUser>(), None, &world.read(user), (id(), &every), &occasion()).unwrap();
    }
    let become_role = |user, role: &Role| {
        world.change(user, &UserChange { role: Some(role.into()), ..UserChange::default() }).unwrap();
    };
    become_role(users[5], &lead);
    let keys = users.map(|user| world.key(user, "ci"));
    let before = backup(&world);

    world.disable(users[1]);
    world.store.delete_user(&permit::<DeleteUser>(), None, &world.read(users[2]), &occasion()).unwrap();
    become_role(users[3], &Role::Readonly);
    let unassign = permit::<UnassignUser>();
    world.store.unassign_user(&unassign, None, (&world.read(users[4]), &ClusterScope::Every), &occasion()).unwrap();
    let fewer = RoleChange { name: None, grants: Some(vec!["pods:read".parse().unwrap()]) };
    let role = world.store.find_role("lead").unwrap().unwrap().read;
    world.store.change_role(&permit::<ChangeRole>(), None, &role, &fewer, &occasion()).unwrap();

    let restored = restore(&world, &before, true).unwrap();
    assert_eq!((restored.users_disabled, restored.keys_revoked), (5, 5));
    for (name, key) in names.into_iter().zip(keys) {
        let found = world.store.find_user(name).unwrap();
        let disabled = found.as_ref().is_some_and(|user| user.disabled_at.is_some());
        assert_eq!(
            (found.is_some(), disabled),
            (name != "deleted", !["as before", "deleted"].contains(&name)),
            "{name}"
        );
        let admitted = world.verdict(world.basis(key)) == Verdict::Admitted;
        assert_eq!(admitted, name == "as before", "{name}");
    }
    // The operator may give them back what the backup says; keys that were revoked before the restore stay so.
    let enable = UserChange { disabled: Some(false), restore_api_keys: true, ..UserChange::default() };
    let again = [1, 3, 4, 5].map(|n| world.change(users[n], &enable).unwrap().keys_restored);
    assert_eq!(again, [0, 1, 1, 1]);
    assert_eq!(world.verdict(world.basis(keys[3])), Verdict::Admitted);
}

fn a_key_revoked_since_does_not_come_back_with_its_owner(backend: Backend) {
    let world = World::new(backend);
    let ann = world.user("ann");
    let key = world.key(ann, "ci");
    world.disable(ann);
    let before = backup(&world);
    // Enabled without their keys: those are dead for good.
    let enable = |restore_api_keys| {
        world.change(ann, &UserChange { disabled: Some(false), restore_api_keys, ..UserChange::default() }).unwrap()
    };
    enable(false);
    restore(&world, &before, true).unwrap();
    assert_eq!(enable(true).keys_restored, 0);
    assert_eq!(world.verdict(world.basis(key)), Verdict::Refused(Unusable::Revoked));
}

fn what_was_used_since_is_not_good_again(backend: Backend) {
    let (world, one, _) = filled(backend);
    let before = backup(&world);
    let show = |proof| world.store.show_factor(&permit::<Reverify>(), None, (one.owner, id(), &proof), &occasion());
    show(Proof::Step(105)).unwrap();
    show(Proof::RecoveryCode("$code1".into())).unwrap();
    restore(&world, &before, true).unwrap();
    assert_eq!(refusal(show(Proof::Step(105))), FactorRefused::Used);
    assert_eq!(refusal(show(Proof::RecoveryCode("$code1".into()))), FactorRefused::Used);
    show(Proof::RecoveryCode("$code2".into())).unwrap();
    show(Proof::Step(106)).unwrap();
    // Nor are codes that others have replaced.
    let renew = (one.owner, &Proof::Step(107), &["$code3".to_owned()][..]);
    world.store.renew_recovery_codes(&permit::<RenewRecoveryCodes>(), None, renew, &occasion()).unwrap();
    restore(&world, &before, true).unwrap();
    for code in ["$code1", "$code2", "$code3"] {
        assert_eq!(refusal(show(Proof::RecoveryCode(code.into()))), FactorRefused::Used);
    }
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
    let foreign = b"{\"kubevision_backup\":3}\n{\"table\":\"pg_authid\",\"row\":{}}\n".to_vec();
    for broken in [&b""[..], b"not a backup", b"{\"kubevision_backup\":99}\n", half, &foreign] {
        assert!(restore(&world, broken, true).is_err());
        assert_eq!(world.verdict(world.basis(one)), Verdict::Admitted);
        assert_eq!(world.database.count("sessions", "ended_at IS NULL"), 1);
    }
}
