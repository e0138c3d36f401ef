//! Changes of users: what ends with them, what comes back, and that somebody is always left to administer.

use crate::world::{World, id, occasion, permit, refusal};
use kv_authz::{
    Assignment, ClusterScope, NamespaceScope, Role, Unusable, UserId,
    action::{AssignUser, ChangeUser, DeleteUser, ResetPassword, ResetSecondFactor, UnassignUser},
};
use kv_store::{
    ActError, NewUser, UserAsRead, UserChange, UserChanged, UserRefused, admission::Verdict, testing::Backend,
};
use std::{sync::Barrier, thread};

kv_store::on_both!(
    attack_98_enabling_revives_only_what_disabling_revoked_and_only_if_asked,
    attack_97_a_namesake_inherits_nothing,
    attack_106_another_password_ends_sessions_and_keys_if_asked,
    attack_109_of_two_administrators_one_stays,
    attack_192_without_a_second_factor_sessions_end,
    who_changed_meanwhile_is_decided_on_again,
    what_is_taken_counts_at_once,
);

fn change(disabled: bool, restore_api_keys: bool) -> UserChange {
    UserChange { disabled: Some(disabled), restore_api_keys, role: None }
}

fn admin(world: &World, name: &str) -> UserId {
    let user = NewUser { id: id(), name: name.into(), role: (&Role::Admin).into(), password_hash: None };
    world.store.create_user(&permit::<kv_authz::action::CreateUser>(), None, &user, &occasion()).unwrap();
    user.id
}

fn attack_98_enabling_revives_only_what_disabling_revoked_and_only_if_asked(backend: Backend) {
    let world = World::new(backend);
    let ann = world.user("ann");
    let (before, live) = (world.key(ann, "before"), world.key(ann, "live"));
    world.revoke(before);
    world.session("ann");
    let done = world.change(ann, &change(true, false)).unwrap();
    assert_eq!(done, UserChanged { keys_revoked: 1, keys_restored: 0, sessions_ended: 1 });
    assert_eq!(world.verdict(world.basis(live)), Verdict::Refused(Unusable::Revoked));
    // Not asked for: dead, and dead for good.
    assert_eq!(world.change(ann, &change(false, false)).unwrap(), UserChanged::default());
    assert_eq!(world.verdict(world.basis(live)), Verdict::Refused(Unusable::Revoked));
    assert_eq!(world.change(ann, &change(false, true)).unwrap(), UserChanged::default());
    assert_eq!(world.verdict(world.basis(live)), Verdict::Refused(Unusable::Revoked));
    // Asked for: that one, and not those that were revoked before or meanwhile.
    let (next, meanwhile) = (world.key(ann, "next"), world.key(ann, "meanwhile"));
    world.change(ann, &change(true, false)).unwrap();
    world.revoke(meanwhile);
    assert_eq!(world.change(ann, &change(false, true)).unwrap().keys_restored, 1);
    assert_eq!(world.verdict(world.basis(next)), Verdict::Admitted);
    for dead in [before, live, meanwhile] {
        assert_eq!(world.verdict(world.basis(dead)), Verdict::Refused(Unusable::Revoked));
    }
    // The session that ended stays ended.
    assert_eq!(world.database.count("sessions", "ended_at IS NULL"), 0);
}

fn delete(world: &World, read: &UserAsRead) -> Result<UserChanged, ActError<UserRefused>> {
    world.store.delete_user(&permit::<DeleteUser>(), None, read, &occasion())
}

fn attack_97_a_namesake_inherits_nothing(backend: Backend) {
    let world = World::new(backend);
    let ann = world.user("ann");
    let key = world.key(ann, "ci");
    let (_, session) = world.session("ann");
    let line = Assignment { cluster: ClusterScope::Every, namespaces: NamespaceScope::All };
    world.store.assign_user(&permit::<AssignUser>(), None, &world.read(ann), (id(), &line), &occasion()).unwrap();
    let read = world.read(ann);
    let done = delete(&world, &read).unwrap();
    assert_eq!((done.keys_revoked, done.sessions_ended), (1, 1));
    assert_eq!(world.verdict(world.basis(key)), Verdict::Refused(Unusable::Revoked));
    assert_eq!(world.verdict(session), Verdict::Refused(Unusable::SessionEnded));
    assert_eq!(refusal(delete(&world, &read)), UserRefused::NoSuchUser);
    let namesake = world.user("ann");
    assert_ne!(namesake, ann);
    let found = world.store.find_user("ann").unwrap().unwrap();
    assert_eq!((found.id, found.assignments.lines().len()), (namesake, 0));
    assert_eq!(world.verdict(world.basis(key)), Verdict::Refused(Unusable::Revoked));
    assert_eq!(world.database.count("api_keys", "revoked_at IS NULL"), 0);
}

fn attack_106_another_password_ends_sessions_and_keys_if_asked(backend: Backend) {
    let world = World::new(backend);
    let ann = world.user("ann");
    let key = world.key(ann, "ci");
    for (revoke_keys, keys_revoked) in [(false, 0), (true, 1)] {
        let (_, session) = world.session("ann");
        let hash = format!("$phc-{revoke_keys}");
        let read = world.read(ann);
        let with = (&*hash, revoke_keys);
        let set = world.store.set_password(&permit::<ResetPassword>(), None, (ann, Some(&read)), with, &occasion());
        assert_eq!(set.unwrap(), UserChanged { keys_revoked, keys_restored: 0, sessions_ended: 1 });
        assert_eq!(world.verdict(session), Verdict::Refused(Unusable::SessionEnded));
        assert_eq!(world.store.sign_in("ann").unwrap().unwrap().password_hash, Some(hash));
        let verdict = world.verdict(world.basis(key));
        assert_eq!(verdict == Verdict::Admitted, !revoke_keys, "{verdict:?}");
    }
}

fn attack_109_of_two_administrators_one_stays(backend: Backend) {
    let world = World::new(backend);
    for round in 0..20 {
        let admins = [admin(&world, &format!("a{round}")), admin(&world, &format!("b{round}"))];
        let start = Barrier::new(2);
        let done = thread::scope(|scope| {
            let (world, start) = (&world, &start);
            let threads = admins.map(|user| {
                scope.spawn(move || {
                    start.wait();
                    let read = world.read(user);
                    let demoted = UserChange { role: Some((&Role::Dev).into()), ..UserChange::default() };
                    loop {
                        let act = match (round + usize::from(user == admins[0])) % 3 {
                            0 => world.store.change_user(&permit::<ChangeUser>(), None, &read, &demoted, &occasion()),
                            1 => world.store.change_user(
                                &permit::<ChangeUser>(),
                                None,
                                &read,
                                &change(true, false),
                                &occasion(),
                            ),
                            _ => delete(world, &read),
                        };
                        match act {
                            Err(ActError::Store(_)) => {}
                            done => break done,
                        }
                    }
                })
            });
            threads.map(|thread| thread.join().unwrap())
        });
        let refused = done.iter().filter(|done| matches!(done, Err(ActError::Refused(UserRefused::LastAdmin)))).count();
        assert_eq!((done.iter().filter(|done| done.is_ok()).count(), refused), (1, 1), "{done:?}");
        let left = "role = 'admin' AND disabled_at IS NULL AND deleted_at IS NULL";
        assert_eq!(world.database.count("users", left), 1);
        // The next round has two of its own.
        world.database.execute("UPDATE users SET deleted_at = 1");
    }
}

fn attack_192_without_a_second_factor_sessions_end(backend: Backend) {
    let world = World::new(backend);
    let ann = world.user("ann");
    let (_, session) = world.session("ann");
    let reset = |read| world.store.reset_second_factor(&permit::<ResetSecondFactor>(), None, &read, &occasion());
    assert_eq!(reset(world.read(ann)).unwrap().sessions_ended, 1);
    assert_eq!(world.verdict(session), Verdict::Refused(Unusable::SessionEnded));
    assert_eq!(refusal(reset(world.gone())), UserRefused::NoSuchUser);
}

fn who_changed_meanwhile_is_decided_on_again(backend: Backend) {
    let world = World::new(backend);
    admin(&world, "root");
    let ann = world.user("ann");
    let read = world.read(ann);
    // Ann becomes an administrator after it was decided what may be done to her.
    world.change(ann, &UserChange { role: Some((&Role::Admin).into()), ..UserChange::default() }).unwrap();
    let store = &world.store;
    let line = Assignment { cluster: ClusterScope::Every, namespaces: NamespaceScope::All };
    let stale = |done: Option<ActError<UserRefused>>| assert!(matches!(done, Some(ActError::Stale)), "{done:?}");
    let disable = change(true, false);
    stale(store.change_user(&permit::<ChangeUser>(), None, &read, &disable, &occasion()).err());
    stale(delete(&world, &read).err());
    let with = ("$taken-over", true);
    stale(store.set_password(&permit::<ResetPassword>(), None, (ann, Some(&read)), with, &occasion()).err());
    stale(store.reset_second_factor(&permit::<ResetSecondFactor>(), None, &read, &occasion()).err());
    stale(store.assign_user(&permit::<AssignUser>(), None, &read, (id(), &line), &occasion()).err());
    let every = &ClusterScope::Every;
    stale(store.unassign_user(&permit::<UnassignUser>(), None, (&read, every), &occasion()).err());
    let now = store.find_user("ann").unwrap().unwrap();
    assert_eq!((now.role, now.disabled_at), (Role::Admin, None));
    assert_ne!(store.sign_in("ann").unwrap().unwrap().password_hash.as_deref(), Some("$taken-over"));
    assert!(now.assignments.lines().is_empty());
}

fn what_is_taken_counts_at_once(backend: Backend) {
    let world = World::new(backend);
    let ann = world.user("ann");
    let key = world.key(ann, "ci");
    let line = Assignment { cluster: ClusterScope::Every, namespaces: NamespaceScope::All };
    world.store.assign_user(&permit::<AssignUser>(), None, &world.read(ann), (id(), &line), &occasion()).unwrap();
    let basis = world.basis(key);
    let take = || {
        let read = world.read(ann);
        world.store.unassign_user(&permit::<UnassignUser>(), None, (&read, &ClusterScope::Every), &occasion())
    };
    take().unwrap();
    assert_eq!(world.verdict(basis), Verdict::Stale);
    assert!(world.store.find_user("ann").unwrap().unwrap().assignments.lines().is_empty());
    assert_eq!(refusal(take()), UserRefused::NoSuchAssignment);
}
