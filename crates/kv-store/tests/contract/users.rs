//! Users: made, found, listed, disabled, assigned.

use crate::world::{World, id, now, occasion, permit, refusal};
use kv_authz::{
    Assignment, ClusterScope, NamespaceScope, Role, RoleId, Unusable, UserId,
    action::{AddCluster, AssignUser, ChangeUser, CreateUser, RemoveCluster},
};
use kv_store::{
    ActError, Basis, NewCluster, NewUser, PageRequest, StoreError, UserAsRead, UserChange, UserChanged, UserRecord,
    UserRefused, admission::Verdict, testing::Backend,
};
use std::thread;

kv_store::on_both!(
    a_user_is_found_by_name_and_id,
    a_name_has_one_user,
    the_first_user_is_the_first,
    users_are_paged,
    ten_thousand_users_are_paged,
    disabling_ends_keys_and_sessions,
    deleted_users_are_gone,
    an_unknown_role_holds_nothing,
    names_with_nul_are_nobodys,
    assignments_replace_those_of_the_same_cluster,
    a_removed_cluster_takes_its_assignments_along,
    the_rights_of_many_are_those_of_each,
    a_password_is_rehashed_only_where_it_is_the_old_one,
    a_credential_that_died_acts_no_more,
    two_who_disable_each_other_do_not_both_succeed,
);

fn new_user(name: &str) -> NewUser {
    NewUser { id: id(), name: name.into(), role: (&Role::Ops).into(), password_hash: None }
}

fn disable(world: &World, basis: Option<&Basis>, read: &UserAsRead) -> Result<UserChanged, ActError<UserRefused>> {
    let change = UserChange { disabled: Some(true), ..UserChange::default() };
    world.store.change_user(&permit::<ChangeUser>(), basis, read, &change, &occasion())
}

fn create(world: &World, user: &NewUser) -> Result<UserRecord, ActError<UserRefused>> {
    world.store.create_user(&permit::<CreateUser>(), None, user, &occasion())
}

fn a_user_is_found_by_name_and_id(backend: Backend) {
    let world = World::new(backend);
    let new = new_user("ann é 🦀");
    create(&world, &new).unwrap();
    let by_name = world.store.find_user("ann é 🦀").unwrap().unwrap();
    let by_id = world.store.find_user_by_id(new.id).unwrap().unwrap();
    for user in [by_name, by_id] {
        assert_eq!((user.id, &*user.name, user.role), (new.id, "ann é 🦀", Role::Ops));
        assert!(user.disabled_at.is_none() && user.assignments.lines().is_empty());
    }
    assert!(world.store.find_user("ANN É 🦀").unwrap().is_none());
    assert!(world.store.find_user_by_id(id()).unwrap().is_none());
    let sign_in = world.store.sign_in("ann é 🦀").unwrap().unwrap();
    assert_eq!((sign_in.id, sign_in.password_hash, sign_in.disabled), (new.id, None, false));
    assert!(world.store.sign_in("bob").unwrap().is_none());
}

fn a_name_has_one_user(backend: Backend) {
    let world = World::new(backend);
    let made = thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| create(&world, &new_user("ann")))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
    });
    let (made, refused): (Vec<_>, Vec<_>) = made.into_iter().partition(Result::is_ok);
    assert_eq!(made.len(), 1);
    for done in refused {
        assert_eq!(refusal(done), UserRefused::NameTaken);
    }
    assert_eq!(world.database.count("audit_entries", "action = 'user.create'"), 1);
    // A deleted user's name is free.
    world.set("users", world.store.find_user("ann").unwrap().unwrap().id, "deleted_at = 1");
    create(&world, &new_user("ann")).unwrap();
}

fn the_first_user_is_the_first(backend: Backend) {
    let world = World::new(backend);
    assert!(!world.store.has_users().unwrap());
    world.user("ann");
    assert!(world.store.has_users().unwrap());
}

fn users_are_paged(backend: Backend) {
    let world = World::new(backend);
    // Made in another order than that of their names. Byte by byte, whatever the order of the database is.
    for name in ["émile", "bob", "Anna", "ann", "ann-2", "ANN", "b_b", "zoë", "b%b", "50", "anna"] {
        world.user(name);
    }
    let in_order = ["50", "ann", "ANN", "ann-2", "Anna", "anna", "b%b", "b_b", "bob", "zoë", "émile"];
    let paged = |prefix: Option<&str>, rows: u16| -> Vec<String> {
        let (mut seen, mut after) = (Vec::new(), None);
        loop {
            let page = world.store.list_users(prefix, PageRequest::new(rows, after)).unwrap();
            assert!(page.items.len() <= usize::from(rows));
            seen.extend(page.items.into_iter().map(|user| user.name));
            after = page.next;
            if after.is_none() {
                return seen;
            }
        }
    };
    for rows in [1, 2, 3, 50] {
        assert_eq!(paged(None, rows), in_order, "{rows} a page");
        assert_eq!(paged(Some("aNN"), rows), &in_order[1..6], "{rows} a page");
    }
    for (prefix, found) in [
        ("", &in_order[..]),
        ("b", &in_order[6..9]),
        ("b_", &["b_b"]),
        ("b%", &["b%b"]),
        ("é", &["émile"]),
        ("nn", &[]),
        ("anna\0", &[]),
        ("annabel", &[]),
    ] {
        assert_eq!(paged(Some(prefix), 50), found, "{prefix}");
    }
    // From one who is deleted meanwhile it goes on; from nobody, nowhere.
    let first = world.store.list_users(None, PageRequest::new(2, None)).unwrap();
    world.set("users", first.items[1].id, "deleted_at = 1");
    let next = world.store.list_users(None, PageRequest::new(2, first.next)).unwrap();
    assert_eq!(next.items.iter().map(|user| &*user.name).collect::<Vec<_>>(), in_order[2..4]);
    assert!(world.store.list_users(None, PageRequest::new(2, Some(id::<UserId>().uuid()))).unwrap().items.is_empty());
}

/// As many as a large company has: nobody twice, nobody left out.
fn ten_thousand_users_are_paged(backend: Backend) {
    let world = World::new(backend);
    let id = match backend {
        Backend::Sqlite => "randomblob(16)",
        Backend::Postgres => "decode(md5(n::text), 'hex')",
    };
    world.database.execute(&format!(
        "INSERT INTO users (id, name, role, created_at, version, keys_made) WITH RECURSIVE numbers (n) AS \
         (SELECT 0 UNION ALL SELECT n + 1 FROM numbers WHERE n < 9999) \
         SELECT {id}, 'user-' || ((n * 7919) % 10000), 'dev', 1, 1, 0 FROM numbers"
    ));
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let page = world.store.list_users(None, PageRequest::new(200, after)).unwrap();
        seen.extend(page.items.into_iter().map(|user| user.name));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    let mut all: Vec<String> = (0..10_000).map(|n| format!("user-{n}")).collect();
    all.sort();
    assert!(seen == all, "{} of them", seen.len());
    let found = world.store.list_users(Some("user-99"), PageRequest::new(200, None)).unwrap();
    assert_eq!((found.items.len(), found.next), (111, None));
}

fn disabling_ends_keys_and_sessions(backend: Backend) {
    let world = World::new(backend);
    let ann = world.user("ann");
    let (live, dead) = (world.key(ann, "live"), world.key(ann, "dead"));
    world.revoke(dead);
    let first = world.store.find_key(dead.id).unwrap().unwrap().revoked_at;
    let (_, session) = world.session("ann");
    let basis = world.basis(live);
    world.disable(ann);
    assert_eq!(world.verdict(basis), Verdict::Refused(Unusable::Revoked));
    assert_eq!(world.verdict(session), Verdict::Refused(Unusable::SessionEnded));
    assert_eq!(world.store.find_key(dead.id).unwrap().unwrap().revoked_at, first);
    let since = world.store.find_user("ann").unwrap().unwrap().disabled_at;
    assert!(since.is_some() && world.store.sign_in("ann").unwrap().unwrap().disabled);
    world.disable(ann);
    assert_eq!(world.store.find_user("ann").unwrap().unwrap().disabled_at, since);
    // Enabled again: the keys stay dead.
    world.set("users", ann, "disabled_at = NULL");
    assert_eq!(world.verdict(basis), Verdict::Refused(Unusable::Revoked));
    let unknown = disable(&world, None, &world.gone());
    assert_eq!(refusal(unknown), UserRefused::NoSuchUser);
}

fn deleted_users_are_gone(backend: Backend) {
    let world = World::new(backend);
    let ann = world.user("ann");
    let read = world.read(ann);
    world.set("users", ann, "deleted_at = 1");
    assert!(world.store.find_user("ann").unwrap().is_none());
    assert!(world.store.find_user_by_id(ann).unwrap().is_none());
    assert!(world.store.sign_in("ann").unwrap().is_none());
    assert!(world.store.list_users(None, PageRequest::default()).unwrap().items.is_empty());
    let done = disable(&world, None, &read);
    assert_eq!(refusal(done), UserRefused::NoSuchUser);
}

fn an_unknown_role_holds_nothing(backend: Backend) {
    let world = World::new(backend);
    let ann = world.user("ann");
    world.set("users", ann, "role = 'Admin'");
    let role = world.store.find_user("ann").unwrap().unwrap().role;
    assert_eq!(role, Role::Custom { id: RoleId::NIL, name: "Admin".into(), grants: vec![] });
}

fn names_with_nul_are_nobodys(backend: Backend) {
    let world = World::new(backend);
    world.user("ann");
    for name in ["ann\0", "\0", "ann\0bob"] {
        assert!(world.store.find_user(name).unwrap().is_none());
        assert!(world.store.sign_in(name).unwrap().is_none());
    }
}

fn named(names: &[&str]) -> NamespaceScope {
    NamespaceScope::Named(names.iter().map(|&name| name.to_owned()).collect())
}

fn cluster(world: &World, name: &str) -> kv_authz::ClusterId {
    let cluster =
        NewCluster { id: id(), name: name.into(), server: "https://k".into(), sealed: vec![1], impersonate: false };
    world.store.add_cluster(&permit::<AddCluster>(), None, &cluster, &occasion()).unwrap();
    cluster.id
}

fn assignments_replace_those_of_the_same_cluster(backend: Backend) {
    let world = World::new(backend);
    let (ann, bob) = (world.user("ann"), world.user("bob"));
    let (one, two) = (cluster(&world, "one"), cluster(&world, "two"));
    let key = world.key(ann, "ci");
    let assign = |user, cluster, namespaces| {
        let line = Assignment { cluster, namespaces };
        world.store.assign_user(&permit::<AssignUser>(), None, &user, (id(), &line), &occasion())
    };
    let before = world.basis(key);
    assign(world.read(ann), ClusterScope::One(one), named(&["a", "b"])).unwrap();
    assign(world.read(bob), ClusterScope::One(one), named(&["z"])).unwrap();
    assert_eq!(world.verdict(before), Verdict::Stale);
    assert_eq!(world.verdict(world.basis(key)), Verdict::Admitted);
    assign(world.read(ann), ClusterScope::One(two), NamespaceScope::All).unwrap();
    assign(world.read(ann), ClusterScope::Every, named(&["x"])).unwrap();
    assign(world.read(ann), ClusterScope::One(one), named(&["c"])).unwrap();
    assign(world.read(ann), ClusterScope::Every, named(&["y"])).unwrap();
    let of = |name| world.store.find_user(name).unwrap().unwrap().assignments;
    assert_eq!(of("ann").lines().len(), 3);
    assert_eq!(of("ann").within(one), Some(named(&["c", "y"])));
    assert_eq!(of("ann").within(two), Some(NamespaceScope::All));
    assert_eq!(of("bob").within(one), Some(named(&["z"])));
    assert_eq!(world.store.key_authority(&key.digest).unwrap().unwrap().owner.assignments, of("ann"));
    assert_eq!(refusal(assign(world.gone(), ClusterScope::Every, NamespaceScope::All)), UserRefused::NoSuchUser);
    // One that is not registered cannot be assigned.
    assert!(matches!(
        assign(world.read(ann), ClusterScope::One(id()), NamespaceScope::All),
        Err(ActError::Store(StoreError::Unavailable { .. }))
    ));
}

fn a_removed_cluster_takes_its_assignments_along(backend: Backend) {
    let world = World::new(backend);
    let ann = world.user("ann");
    let (one, two) = (cluster(&world, "one"), cluster(&world, "two"));
    for cluster in [one, two] {
        let line = Assignment { cluster: ClusterScope::One(cluster), namespaces: NamespaceScope::All };
        world.store.assign_user(&permit::<AssignUser>(), None, &world.read(ann), (id(), &line), &occasion()).unwrap();
    }
    world.store.remove_cluster(&permit::<RemoveCluster>(), None, one, &occasion()).unwrap();
    let left = world.store.find_user("ann").unwrap().unwrap().assignments;
    assert_eq!((left.within(one), left.within(two)), (None, Some(NamespaceScope::All)));
}

fn the_rights_of_many_are_those_of_each(backend: Backend) {
    let world = World::new(backend);
    let (one, two) = (cluster(&world, "one"), cluster(&world, "two"));
    let users = ["ann", "bob", "carl", "dora"].map(|name| world.user(name));
    let team = NamespaceScope::Named(["team".to_owned()].into());
    for (user, cluster, namespaces) in
        [(users[0], one, NamespaceScope::All), (users[0], two, team.clone()), (users[1], one, team)]
    {
        let line = Assignment { cluster: ClusterScope::One(cluster), namespaces };
        world.store.assign_user(&permit::<AssignUser>(), None, &world.read(user), (id(), &line), &occasion()).unwrap();
    }
    world.change(users[1], &UserChange { role: Some((&Role::Ops).into()), ..UserChange::default() }).unwrap();
    world.set("users", users[3], "deleted_at = 1");
    let mut found = world.store.rights_of(&users).unwrap();
    found.sort_by_key(|owner| owner.id);
    let ids: Vec<UserId> = found.iter().map(|owner| owner.id).collect();
    assert_eq!(ids, users[..3], "who is deleted has none");
    for owner in found {
        let alone = world.store.find_user_by_id(owner.id).unwrap().unwrap();
        assert_eq!((&owner.name, &owner.role, &owner.assignments), (&alone.name, &alone.role, &alone.assignments));
    }
    assert!(world.store.rights_of(&[]).unwrap().is_empty());
}

fn a_password_is_rehashed_only_where_it_is_the_old_one(backend: Backend) {
    let world = World::new(backend);
    let ann = world.user("ann");
    let hash = || world.store.sign_in("ann").unwrap().unwrap();
    let version = hash().version;
    world.store.rehash_password(ann, "$other", "$wrong").unwrap();
    assert_eq!(hash().password_hash.as_deref(), Some("$phc"));
    world.store.rehash_password(ann, "$phc", "$newer").unwrap();
    assert_eq!(hash().password_hash.as_deref(), Some("$newer"));
    // The same password as before: nothing that was decided becomes stale.
    assert_eq!(hash().version, version);
}

fn a_credential_that_died_acts_no_more(backend: Backend) {
    let world = World::new(backend);
    let (ann, bob) = (world.user("ann"), world.user("bob"));
    let key = world.key(ann, "ci");
    let basis = world.basis(key);
    let act = |basis: Basis| disable(&world, Some(&basis), &world.read(bob));
    let stale = Basis { user_version: basis.user_version - 1, ..basis };
    assert!(matches!(act(stale), Err(ActError::Stale)));
    assert!(matches!(act(Basis { timeline: basis.timeline - 1, ..basis }), Err(ActError::Stale)));
    let clusters = world.store.list_clusters().unwrap().version;
    assert!(matches!(act(Basis { clusters_version: Some(clusters + 1), ..basis }), Err(ActError::Stale)));
    let unknown = Basis { credential: kv_store::Credential::Key(id()), ..basis };
    assert!(matches!(act(unknown), Err(ActError::Unusable(Unusable::Unknown))));
    world.revoke(key);
    assert!(matches!(act(basis), Err(ActError::Unusable(Unusable::Revoked))));
    let (session, basis) = world.session("ann");
    world.set("sessions", session, &format!("expires_at = {}", crate::world::micros(now())));
    assert!(matches!(act(basis), Err(ActError::Unusable(Unusable::Expired))));
    assert!(world.store.find_user("bob").unwrap().unwrap().disabled_at.is_none());
    assert_eq!(world.database.count("audit_entries", "action = 'user.change'"), 0);
    let (_, basis) = world.session("ann");
    act(Basis { clusters_version: Some(clusters), ..basis }).unwrap();
    assert!(world.store.find_user("bob").unwrap().unwrap().disabled_at.is_some());
}

fn two_who_disable_each_other_do_not_both_succeed(backend: Backend) {
    let world = World::new(backend);
    for round in 0..4 {
        let names = [format!("ann{round}"), format!("bob{round}")];
        let [ann, bob] = names.each_ref().map(|name| world.user(name));
        let [(_, of_ann), (_, of_bob)] = names.each_ref().map(|name| world.session(name));
        let act = |basis: Basis, other| disable(&world, Some(&basis), other).is_ok();
        let (ann, bob) = (world.read(ann), world.read(bob));
        let (first, second) = thread::scope(|scope| {
            let first = scope.spawn(|| act(of_ann, &bob));
            let second = scope.spawn(|| act(of_bob, &ann));
            (first.join().unwrap(), second.join().unwrap())
        });
        assert!(first ^ second, "{first} {second}");
    }
}
