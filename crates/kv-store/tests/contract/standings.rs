//! Standings: what admission found before counts until the database says that something moved, whoever moved it.

use crate::world::{World, id, micros, now, occasion, permit};
use kv_authz::{RoleId, Unusable, action::CreateRole};
use kv_store::{Basis, Credential, admission::Verdict, testing::Backend};
use time::Duration;

kv_store::on_both!(
    what_was_admitted_is_judged_again_once_anything_moves,
    a_role_that_changes_is_noticed,
    what_takes_nothing_back_moves_nothing,
    however_much_a_transaction_changes_it_is_noticed,
    it_is_the_number_that_has_it_looked_up_again,
);

/// The number as the database has it.
fn number(world: &World) -> String {
    world.database.texts("SELECT version AS value FROM revisions WHERE name = 'standings'")[0].clone().unwrap()
}

/// Admitted, and then again by what was found the first time.
fn admitted_twice(world: &World, basis: Basis) {
    assert_eq!(world.verdict(basis), Verdict::Admitted);
    assert_eq!(world.verdict(basis), Verdict::Admitted);
}

fn what_was_admitted_is_judged_again_once_anything_moves(backend: Backend) {
    let world = World::new(backend);
    let neighbour = world.basis(world.key(world.user("neighbour"), "ci"));
    let refused = Verdict::Refused;
    let cases = [
        ("api_keys", "revoked_at = 1", refused(Unusable::Revoked)),
        ("api_keys", "expired_seen_at = 1", refused(Unusable::Expired)),
        ("api_keys", "expires_at = 1", refused(Unusable::Expired)),
        ("sessions", "ended_at = 1", refused(Unusable::SessionEnded)),
        ("sessions", "expires_at = 1", refused(Unusable::Expired)),
        ("users", "disabled_at = 1", refused(Unusable::OwnerDisabled)),
        ("users", "deleted_at = 1", refused(Unusable::OwnerDeleted)),
        ("users", "version = version + 1", Verdict::Stale),
    ];
    for (n, (table, change, expected)) in cases.into_iter().enumerate() {
        let name = format!("user{n}");
        let user = world.user(&name);
        let (key, (session, session_basis)) = (world.key(user, "ci"), world.session(&name));
        let key_basis = world.basis(key);
        let (bases, row): (&[Basis], uuid::Uuid) = match table {
            "api_keys" => (&[key_basis], key.id.into()),
            "sessions" => (&[session_basis], session.into()),
            _ => (&[key_basis, session_basis], user.into()),
        };
        for &basis in bases {
            admitted_twice(&world, basis);
        }
        admitted_twice(&world, neighbour);
        world.set(table, row, change);
        for &basis in bases {
            assert_eq!(world.verdict(basis), expected, "{table} {change}");
            assert_eq!(world.verdict(basis), expected, "{table} {change}, again");
        }
        admitted_twice(&world, neighbour);
    }
    // Rows that go altogether.
    let key = world.key(world.user("gone"), "ci");
    let (basis, (session, session_basis)) = (world.basis(key), world.session("gone"));
    for (table, row, basis) in
        [("sessions", uuid::Uuid::from(session), session_basis), ("api_keys", key.id.into(), basis)]
    {
        admitted_twice(&world, basis);
        world.database.execute(&format!(
            "DELETE FROM refresh_tokens; DELETE FROM {table} WHERE id = {}",
            world.database.literal(row)
        ));
        assert_eq!(world.verdict(basis), refused(Unusable::Unknown), "{table}");
    }
}

fn a_role_that_changes_is_noticed(backend: Backend) {
    let world = World::new(backend);
    let (ann, role) = (world.user("ann"), id::<RoleId>());
    world.store.create_role(&permit::<CreateRole>(), None, (role, "watchers", &[]), &occasion()).unwrap();
    world.set("users", ann, &format!("role = '{role}'"));
    let basis = world.basis(world.key(ann, "ci"));
    assert!(basis.role_version.is_some());
    admitted_twice(&world, basis);
    world.database.execute("UPDATE roles SET version = version + 1");
    assert_eq!(world.verdict(basis), Verdict::Stale);
    let basis = Basis { role_version: basis.role_version.map(|version| version + 1), ..basis };
    admitted_twice(&world, basis);
    // Another role, whatever else its writer forgot.
    world.set("users", ann, "role = 'viewer'");
    assert_eq!(world.verdict(basis), Verdict::Stale);
}

fn what_takes_nothing_back_moves_nothing(backend: Backend) {
    let world = World::new(backend);
    let ann = world.user("ann");
    let (key, (session, basis)) = (world.key(ann, "ci"), world.session("ann"));
    let before = number(&world);
    world.key(ann, "other");
    world.session("ann");
    world.store.note_uses(&[(key.id, now(), None)]).unwrap();
    // As a renewal does, and an act that holds its user.
    world.set("sessions", session, &format!("expires_at = {}", micros(now() + Duration::DAY)));
    world.set("users", ann, "version = version");
    admitted_twice(&world, basis);
    assert_eq!(number(&world), before);
    world.revoke(key);
    assert_ne!(number(&world), before);
}

fn however_much_a_transaction_changes_it_is_noticed(backend: Backend) {
    let world = World::new(backend);
    let ann = world.user("ann");
    let keys: Vec<Basis> = (0..40).map(|n| world.basis(world.key(ann, &format!("key{n}")))).collect();
    keys.iter().for_each(|&basis| admitted_twice(&world, basis));
    // One after another over one connection, too: what one transaction has said is not taken for said in the next.
    for basis in &keys[..2] {
        let Credential::Key(key) = basis.credential else { unreachable!() };
        world.set("api_keys", key, "revoked_at = 1");
        assert_eq!(world.verdict(*basis), Verdict::Refused(Unusable::Revoked));
    }
    world.database.execute("BEGIN; UPDATE api_keys SET revoked_at = 1; UPDATE users SET version = version + 1; COMMIT");
    for basis in keys {
        assert_eq!(world.verdict(basis), Verdict::Refused(Unusable::Revoked));
    }
}

/// What the others rest on: without the number nothing would be noticed, and with it nothing is looked up in vain.
fn it_is_the_number_that_has_it_looked_up_again(backend: Backend) {
    let world = World::new(backend);
    let key = world.key(world.user("ann"), "ci");
    let basis = world.basis(key);
    admitted_twice(&world, basis);
    world.database.execute(match backend {
        Backend::Sqlite => "DROP TRIGGER standing_of_key",
        Backend::Postgres => "DROP TRIGGER standing_of_key ON api_keys",
    });
    world.set("api_keys", key.id, "revoked_at = 1");
    assert_eq!(world.verdict(basis), Verdict::Admitted, "found before, and the number stands");
    world.database.execute("UPDATE revisions SET version = version + 1 WHERE name = 'standings'");
    assert_eq!(world.verdict(basis), Verdict::Refused(Unusable::Revoked));
}
