//! Names as clusters see them.

use super::*;
use kv_authz::{Assignments, Role, RoleId};
use std::{collections::HashSet, sync::Arc};
use time::OffsetDateTime;
use uuid::Uuid;

fn owner(name: &str, role: Role) -> Arc<Owner> {
    let assignments = Assignments::default();
    Arc::new(Owner { id: Uuid::from_u128(1).into(), name: name.into(), role, assignments })
}

fn key(user: &str, role: Role, name: &str) -> Principal {
    Principal::ApiKey { id: Uuid::from_u128(7).into(), name: name.into(), owner: owner(user, role) }
}

fn custom(name: &str) -> Role {
    Role::Custom { id: RoleId::from(Uuid::from_u128(3)), name: name.into(), grants: vec![] }
}

fn cluster(impersonate: bool) -> ClusterRecord {
    let created_at = OffsetDateTime::UNIX_EPOCH;
    ClusterRecord { id: Uuid::from_u128(2).into(), name: "c".into(), server: String::new(), created_at, impersonate }
}

fn fields(identity: &Identity) -> Vec<(&str, &str)> {
    identity.headers().iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect()
}

#[test]
fn a_key_is_its_owner_with_its_id_and_name() {
    let identity = Identity::of(&key("ann", Role::Dev, "ci")).unwrap();
    let id = "00000000-0000-0000-0000-000000000007";
    assert_eq!(
        fields(&identity),
        [
            ("impersonate-user", "kubevision:ann"),
            ("impersonate-group", "kubevision:dev"),
            ("impersonate-group", "kubevision:users"),
            ("impersonate-extra-kubevision.io%2fkey-id", id),
            ("impersonate-extra-kubevision.io%2fkey-name", "ci"),
        ]
    );
    assert_eq!(identity.user(), "kubevision:ann");
    assert_eq!(identity.groups(), ["kubevision:dev", "kubevision:users"]);
    assert_eq!(identity.extra(), [(Identity::KEY_ID, id.to_owned()), (Identity::KEY_NAME, "ci".to_owned())]);
}

#[test]
fn a_session_has_no_extra_fields() {
    let principal = Principal::Session {
        id: Uuid::from_u128(9).into(),
        owner: owner("ann", Role::Ops),
        agent: "web".into(),
        factor: kv_authz::SecondFactor::Missing,
    };
    let identity = Identity::of(&principal).unwrap();
    assert_eq!(fields(&identity).len(), 3);
    assert!(identity.extra().is_empty());
}

#[test]
fn only_where_the_cluster_is_called_so() {
    let ann = key("ann", Role::Dev, "ci");
    assert_eq!(Identity::for_request(&ann, &cluster(false)).unwrap(), None);
    assert_eq!(Identity::for_request(&ann, &cluster(true)).unwrap(), Some(Identity::of(&ann).unwrap()));
    assert!(matches!(Identity::for_request(&Principal::Operator, &cluster(true)), Err(IdentityError::Nobody)));
}

#[test]
fn attack_148_what_cannot_be_named_is_an_error_and_not_nobody() {
    for (user, name) in [("", "ci"), ("ann", ""), (&*"é".repeat(513), "ci"), ("ann", &*"x".repeat(1025))] {
        let refused = Identity::for_request(&key(user, Role::Dev, name), &cluster(true));
        assert!(matches!(refused, Err(IdentityError::Empty(_) | IdentityError::TooLong(_))), "{refused:?}");
    }
    assert!(Identity::of(&key("ann", custom(""), "ci")).is_err());
    // The longest a name may be, in the longest characters there are.
    Identity::of(&key(&"\u{10ffff}".repeat(64), Role::Dev, &"\u{10ffff}".repeat(100))).unwrap();
}

#[test]
fn every_name_is_visible_ascii_and_no_two_are_alike() {
    let names = [
        "a",
        "a b",
        "a%20b",
        "a%2520b",
        "é",
        "e\u{301}",
        "%C3%A9",
        "\u{7f}",
        "a\tb",
        "a\r\nImpersonate-User: system:admin",
        ",",
        "system:masters",
        "kubevision:a",
        "日本",
        "users",
        "%75sers",
        "Users",
        "a+b",
        " ",
    ];
    let mut users = HashSet::new();
    let mut groups = HashSet::new();
    for name in names {
        let identity = Identity::of(&key(name, custom(name), name)).unwrap();
        for (field, value) in fields(&identity) {
            assert!(value.bytes().all(|byte| byte.is_ascii_graphic()), "{field}: {value}");
            assert!(field.contains("-extra-") || value.starts_with("kubevision:"), "{field}: {value}");
        }
        assert!(users.insert(identity.user().to_owned()), "{name}");
        assert!(groups.insert(identity.groups()[0].clone()), "{name}");
        assert_ne!(identity.groups()[0], "kubevision:users", "a role is not everybody");
    }
}
