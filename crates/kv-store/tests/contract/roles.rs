//! Custom roles: made, changed, deleted; and what that does to those who have them.

use crate::world::{World, id, now, occasion, permit, refusal, request};
use kv_authz::{
    Pattern, Role, RoleId,
    action::{ChangeRole, CreateRole, DeleteRole},
};
use kv_store::{ActError, Basis, RoleChange, RoleRefused, UserChange, admission::Verdict, testing::Backend};

kv_store::on_both!(
    a_role_is_read_back_as_it_was_made,
    attack_100_a_change_counts_with_the_next_decision,
    attack_101_a_deleted_role_holds_nothing_and_no_namesake_inherits,
    a_name_has_one_role,
);

fn grants(texts: &[&str]) -> Vec<Pattern> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn create(world: &World, name: &str, holds: &[&str]) -> Result<RoleId, ActError<RoleRefused>> {
    let role: RoleId = id();
    world
        .store
        .create_role(&permit::<CreateRole>(), None, (role, name, &grants(holds)), &occasion())
        .map(|made| made.id)
}

fn role(id: RoleId, name: &str, holds: &[&str]) -> Role {
    Role::Custom { id, name: name.into(), grants: grants(holds) }
}

fn a_role_is_read_back_as_it_was_made(backend: Backend) {
    let world = World::new(backend);
    let lead = create(&world, "lead 🦀", &["pods:*", "*:read"]).unwrap();
    let found = world.store.find_role("lead 🦀").unwrap().unwrap();
    assert_eq!(
        (found.id, &*found.name, found.grants, found.users),
        (lead, "lead 🦀", grants(&["pods:*", "*:read"]), 0)
    );
    create(&world, "empty", &[]).unwrap();
    let names: Vec<String> = world.store.list_roles().unwrap().into_iter().map(|role| role.name).collect();
    assert_eq!(names, ["empty", "lead 🦀"]);
    assert!(world.store.find_role("lead").unwrap().is_none());
}

/// Ann has the role; the basis is that of her key.
fn holder(world: &World, holds: RoleId) -> (crate::world::Key, impl Fn() -> (Role, Basis)) {
    let ann = world.user("ann");
    let key = world.key(ann, "ci");
    let change = UserChange { role: Some((&role(holds, "", &[])).into()), ..UserChange::default() };
    world.change(ann, &change).unwrap();
    let look = move || {
        let authority = world.store.key_authority(&key.digest).unwrap().unwrap();
        (authority.owner.role.clone(), world.basis(key))
    };
    (key, look)
}

fn attack_100_a_change_counts_with_the_next_decision(backend: Backend) {
    let world = World::new(backend);
    let lead = create(&world, "lead", &["pods:read"]).unwrap();
    let (_, look) = holder(&world, lead);
    let (before, basis) = look();
    assert_eq!((before, world.verdict(basis)), (role(lead, "lead", &["pods:read"]), Verdict::Admitted));
    let change = |change: RoleChange| {
        let read = world.store.find_role("lead").unwrap().unwrap().read;
        world.store.change_role(&permit::<ChangeRole>(), None, &read, &change, &occasion())
    };
    change(RoleChange { grants: Some(grants(&["pods:*"])), name: None }).unwrap();
    assert_eq!(world.verdict(basis), Verdict::Stale);
    // And in the transaction of an act.
    let disable = UserChange { disabled: Some(true), ..UserChange::default() };
    let bob = world.user("bob");
    let acted = world.store.change_user(
        &permit::<kv_authz::action::ChangeUser>(),
        Some(&basis),
        &world.read(bob),
        &disable,
        &occasion(),
    );
    assert!(matches!(acted, Err(ActError::Stale)));
    let (after, basis) = look();
    assert_eq!((after, world.verdict(basis)), (role(lead, "lead", &["pods:*"]), Verdict::Admitted));
    change(RoleChange { name: Some("chief".into()), grants: None }).unwrap();
    assert_eq!(look().0, role(lead, "chief", &["pods:*"]));
    // A batch has some on new rights and some on old ones.
    let fresh = look().1;
    let decisions = world.admit(&[request(Some(fresh)), request(Some(basis)), request(Some(fresh))]);
    let verdicts: Vec<_> = decisions.iter().map(|decision| decision.verdict).collect();
    assert_eq!(verdicts, [Verdict::Admitted, Verdict::Stale, Verdict::Admitted]);
}

fn attack_101_a_deleted_role_holds_nothing_and_no_namesake_inherits(backend: Backend) {
    let world = World::new(backend);
    let lead = create(&world, "lead", &["*:*"]).unwrap();
    let (_, look) = holder(&world, lead);
    let (_, basis) = look();
    assert_eq!(world.store.find_role("lead").unwrap().unwrap().users, 1);
    let read = world.store.find_role("lead").unwrap().unwrap().read;
    let delete = || world.store.delete_role(&permit::<DeleteRole>(), None, &read, &occasion());
    delete().unwrap();
    assert_eq!(world.verdict(basis), Verdict::Stale);
    let (after, basis) = look();
    assert_eq!((after, world.verdict(basis)), (role(lead, "lead", &[]), Verdict::Admitted));
    assert_eq!(refusal(delete()), RoleRefused::NoSuchRole);
    let namesake = create(&world, "lead", &["*:*"]).unwrap();
    assert_ne!(namesake, lead);
    assert_eq!(look().0, role(lead, "lead", &[]));
    let change = RoleChange { grants: Some(grants(&["*:*"])), name: None };
    let changed = world.store.change_role(&permit::<ChangeRole>(), None, &read, &change, &occasion());
    assert_eq!(refusal(changed), RoleRefused::NoSuchRole);
    assert!(world.store.find_role("lead").unwrap().unwrap().created_at <= now());
}

fn a_name_has_one_role(backend: Backend) {
    let world = World::new(backend);
    create(&world, "lead", &[]).unwrap();
    create(&world, "other", &[]).unwrap();
    assert_eq!(refusal(create(&world, "lead", &[])), RoleRefused::NameTaken);
    let change = RoleChange { name: Some("lead".into()), grants: None };
    let read = world.store.find_role("other").unwrap().unwrap().read;
    let changed = world.store.change_role(&permit::<ChangeRole>(), None, &read, &change, &occasion());
    assert_eq!(refusal(changed), RoleRefused::NameTaken);
    let same = RoleChange { name: Some("other".into()), grants: None };
    world.store.change_role(&permit::<ChangeRole>(), None, &read, &same, &occasion()).unwrap();
    // Decided on what it was before that.
    let again = world.store.change_role(&permit::<ChangeRole>(), None, &read, &same, &occasion());
    assert!(matches!(again, Err(ActError::Stale)), "{again:?}");
}
