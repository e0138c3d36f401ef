//! The role matrix: every act by every built-in role and kind of credential, as a file that shows a change of policy as
//! a readable diff. And what must hold whatever the matrix says.
#![allow(clippy::unwrap_used, reason = "tests")]

use kv_authz::{
    Assignment, Assignments, ClusterId, ClusterScope, Denied, KeyId, NamespaceScope, Owner, Policy, Principal, Role,
    RoleId, SecondFactor, SecondFactorFor, SessionId, Subresource, UserId, action,
    authorize::decide,
    kubernetes::{KubernetesTarget, KubernetesVerb, authorize_kubernetes},
};
use proptest::prelude::*;
use std::{fmt::Write, sync::Arc};
use time::{Duration, OffsetDateTime};

fn owner(role: Role, assignments: Assignments) -> Arc<Owner> {
    Arc::new(Owner { id: UserId::from_parts(1, [1; 10]), name: "ann".into(), role, assignments })
}

fn session(owner: &Arc<Owner>) -> Principal {
    session_with(owner, SecondFactor::Missing)
}

fn session_with(owner: &Arc<Owner>, factor: SecondFactor) -> Principal {
    Principal::Session { id: SessionId::from_parts(1, [2; 10]), owner: owner.clone(), agent: "web".into(), factor }
}

/// A code shown so long before [`NOW`].
fn shown(before: Duration) -> SecondFactor {
    SecondFactor::Enrolled { shown_at: Some(NOW - before) }
}

const NOW: OffsetDateTime = time::macros::datetime!(2026-11-24 12:00 UTC);

fn reach(principal: &Principal, target: &KubernetesTarget) -> Result<kv_authz::kubernetes::Allowed, Denied> {
    authorize_kubernetes(principal, target, &Policy::default(), NOW)
}

fn key(owner: &Arc<Owner>) -> Principal {
    Principal::ApiKey { id: KeyId::from_parts(1, [3; 10]), name: "ci".into(), owner: owner.clone() }
}

const VERBS: [KubernetesVerb; 8] = [
    KubernetesVerb::Get,
    KubernetesVerb::List,
    KubernetesVerb::Create,
    KubernetesVerb::Update,
    KubernetesVerb::Patch,
    KubernetesVerb::Delete,
    KubernetesVerb::Watch,
    KubernetesVerb::DeleteCollection,
];

fn target(plural: &str, group: &str, namespaced: bool, verb: KubernetesVerb) -> KubernetesTarget {
    let collection = verb.is_of_collection();
    KubernetesTarget {
        cluster: ClusterId::from_parts(1, [4; 10]),
        cluster_name: "prod".into(),
        namespace: namespaced.then(|| "default".into()),
        plural: plural.into(),
        group: group.into(),
        namespaced,
        name: (!collection).then(|| "default".into()),
        subresource: None,
        verb,
    }
}

fn roles() -> Vec<Role> {
    let custom = Role::Custom {
        id: RoleId::from_parts(1, [5; 10]),
        name: "deployer".into(),
        grants: ["deployments:*", "pods:read", "*:logs"].iter().map(|g| g.parse().unwrap()).collect(),
    };
    Role::BUILT_IN.into_iter().chain([custom]).collect()
}

#[test]
fn role_matrix() {
    let mut text = String::new();
    let mark = |allowed: bool| if allowed { '✔' } else { '✘' };
    let _ = writeln!(text, "acts on KubeVision's own objects: by session, by key, by key where keys may administer\n");
    let _ = write!(text, "{:<24}", "");
    text.extend(roles().iter().map(|role| format!("{:<10}", role.name())));
    for line in action::table() {
        let _ = write!(text, "\n{:<24}", line.name);
        for role in roles() {
            let owner = owner(role, Assignments::everything());
            let pass = |principal: &Principal, keys_may_administer| {
                let policy = Policy { keys_may_administer, ..Policy::default() };
                mark(decide(principal, &line, &policy, NOW).is_ok())
            };
            let cell: String =
                [pass(&session(&owner), false), pass(&key(&owner), false), pass(&key(&owner), true)].iter().collect();
            let _ = write!(text, "{cell:<10}");
        }
    }
    let kinds = [
        ("pods", "", true),
        ("deployments", "apps", true),
        ("secrets", "", true),
        ("roles", "rbac.authorization.k8s.io", true),
        ("widgets", "example.com", true),
        ("namespaces", "", false),
        ("nodes", "", false),
        ("clusterroles", "rbac.authorization.k8s.io", false),
    ];
    let _ = writeln!(
        text,
        "\n\nKubernetes, assigned to the whole cluster: get list create update patch delete watch\ndeletecollection (✱ masked)\n"
    );
    let _ = write!(text, "{:<24}", "");
    text.extend(roles().iter().map(|role| format!("{:<10}", role.name())));
    for (plural, group, namespaced) in kinds {
        let _ = write!(text, "\n{:<24}", kv_authz::Resource::kubernetes(plural, group).as_str());
        for role in roles() {
            let owner = owner(role, Assignments::everything());
            let cell: String = VERBS
                .into_iter()
                .map(|verb| match reach(&session(&owner), &target(plural, group, namespaced, verb)) {
                    Ok(allowed) if allowed.mask_secrets => '✱',
                    Ok(_) => '✔',
                    Err(_) => '✘',
                })
                .collect();
            let _ = write!(text, "{cell:<10}");
        }
    }
    let _ = writeln!(text, "\n\nParts of objects: get, create\n");
    let _ = write!(text, "{:<48}", "");
    text.extend(roles().iter().map(|role| format!("{:<10}", role.name())));
    for (plural, group, namespaced, part) in PARTS {
        let _ = write!(text, "\n{:<48}", format!("{}/{part}", kv_authz::Resource::kubernetes(plural, group).as_str()));
        for role in roles() {
            let owner = owner(role, Assignments::everything());
            let cell: String = [KubernetesVerb::Get, KubernetesVerb::Create]
                .into_iter()
                .map(|verb| mark(reach(&key(&owner), &part_of(plural, group, namespaced, part, verb)).is_ok()))
                .collect();
            let _ = write!(text, "{cell:<10}");
        }
    }
    insta::assert_snapshot!(text);
}

const PARTS: [(&str, &str, bool, &str); 19] = [
    ("pods", "", true, "status"),
    ("pods", "", true, "log"),
    ("pods", "", true, "exec"),
    ("pods", "", true, "attach"),
    ("pods", "", true, "portforward"),
    ("pods", "", true, "proxy"),
    ("pods", "", true, "ephemeralcontainers"),
    ("pods", "", true, "eviction"),
    ("pods", "", true, "binding"),
    ("services", "", true, "proxy"),
    ("nodes", "", false, "proxy"),
    ("serviceaccounts", "", true, "token"),
    ("namespaces", "", false, "finalize"),
    ("deployments", "apps", true, "scale"),
    ("deployments", "apps", true, "status"),
    ("certificatesigningrequests", "certificates.k8s.io", false, "approval"),
    ("widgets", "example.com", true, "status"),
    ("widgets", "example.com", true, "log"),
    ("widgets", "example.com", true, "console"),
];

fn part_of(plural: &str, group: &str, namespaced: bool, part: &str, verb: KubernetesVerb) -> KubernetesTarget {
    KubernetesTarget {
        name: Some("default".into()),
        subresource: Subresource::parse(part),
        ..target(plural, group, namespaced, verb)
    }
}

#[test]
fn attack_121_122_each_part_of_an_object_takes_a_right_of_its_own() {
    let owner_with = |grants: &[&str]| {
        let grants = grants.iter().map(|grant| grant.parse().unwrap()).collect();
        let role = Role::Custom { id: RoleId::from_parts(1, [7; 10]), name: "narrow".into(), grants };
        key(&owner(role, Assignments::everything()))
    };
    let verbs = [KubernetesVerb::Get, KubernetesVerb::Create, KubernetesVerb::Update, KubernetesVerb::Patch];
    let read_and_write = owner_with(&["pods:read", "pods:write", "services:read", "services:write", "nodes:read"]);
    for (plural, group, namespaced, part) in PARTS.into_iter().filter(|(_, group, ..)| group.is_empty()) {
        let own = ["status", "binding"].contains(&part) && plural == "pods";
        for verb in verbs {
            let target = part_of(plural, group, namespaced, part, verb);
            assert_eq!(reach(&read_and_write, &target).is_ok(), own, "{plural}/{part} {verb:?}");
        }
    }
    for (grant, part) in [("pods:logs", "log"), ("pods:exec", "exec"), ("pods:delete", "eviction")] {
        let one = owner_with(&[grant]);
        for verb in verbs {
            assert!(reach(&one, &part_of("pods", "", true, part, verb)).is_ok(), "{grant} {part}");
            assert!(reach(&one, &part_of("pods", "", true, "status", verb)).is_err());
        }
    }
    let exec = part_of("pods", "", true, "exec", KubernetesVerb::Get);
    assert!(!exec.is_read(), "a command is no reading, though it is asked for with GET");
}

#[test]
fn a_restricted_user_sees_their_namespaces_only() {
    let cluster = ClusterId::from_parts(1, [4; 10]);
    let line = |cluster| Assignment {
        cluster: ClusterScope::One(cluster),
        namespaces: NamespaceScope::Named(["default".to_owned()].into()),
    };
    let ann = session(&owner(Role::Ops, Assignments::new(vec![line(cluster)])));
    let mut pods = target("pods", "", true, KubernetesVerb::Get);
    assert!(reach(&ann, &pods).is_ok());
    pods.namespace = Some("kube-system".into());
    assert_eq!(reach(&ann, &pods).unwrap_err(), Denied::Hidden);
    let nodes = reach(&ann, &target("nodes", "", false, KubernetesVerb::List)).unwrap_err();
    assert!(matches!(nodes, Denied::Forbidden { missing } if missing.to_string() == "nodes:read"));
    let mut namespace = target("namespaces", "", false, KubernetesVerb::Get);
    assert!(reach(&ann, &namespace).is_ok());
    namespace.name = Some("kube-system".into());
    assert_eq!(reach(&ann, &namespace).unwrap_err(), Denied::Hidden);
    let stranger = session(&owner(Role::Ops, Assignments::new(vec![line(ClusterId::from_parts(2, [9; 10]))])));
    assert_eq!(reach(&stranger, &pods).unwrap_err(), Denied::Hidden);
}

#[test]
fn attack_193_who_must_have_a_second_factor_can_only_get_one() {
    let ann = owner(Role::Dev, Assignments::everything());
    let required = Policy { second_factor: SecondFactorFor::Roles(["dev".to_owned()].into()), ..Policy::default() };
    let may: Vec<&str> = action::table()
        .iter()
        .filter(|line| decide(&session(&ann), line, &required, NOW).is_ok())
        .map(|line| line.name)
        .collect();
    assert_eq!(may, ["EndSession", "ShowOneself", "ChangePassword", "SetUpTotp", "EnableTotp"]);
    let pods = target("pods", "", true, KubernetesVerb::Get);
    assert_eq!(authorize_kubernetes(&session(&ann), &pods, &required, NOW).unwrap_err(), Denied::EnrolmentRequired);
    for at_ease in [key(&ann), session_with(&ann, SecondFactor::Enrolled { shown_at: None })] {
        assert!(authorize_kubernetes(&at_ease, &pods, &required, NOW).is_ok());
    }
    // Other roles are not asked.
    let bob = owner(Role::Readonly, Assignments::everything());
    assert!(authorize_kubernetes(&session(&bob), &pods, &required, NOW).is_ok());
}

#[test]
fn what_gives_rights_asks_for_a_recent_code_of_those_who_have_one() {
    let ann = owner(Role::Admin, Assignments::everything());
    let asked = |factor| -> Vec<&str> {
        let table = action::table();
        let lines = table.iter().filter(|line| {
            decide(&session_with(&ann, factor), line, &Policy::default(), NOW) == Err(Denied::CodeRequired)
        });
        lines.map(|line| line.name).collect()
    };
    assert_eq!(asked(SecondFactor::Missing), [""; 0]);
    assert_eq!(asked(shown(Duration::minutes(5))), [""; 0]);
    let stale = asked(shown(Duration::minutes(5) + Duration::microseconds(1)));
    assert_eq!(stale, asked(SecondFactor::Enrolled { shown_at: None }));
    for name in ["RemoveCluster", "ChangeRoleOfUser", "AssignUser", "UnassignUser", "ChangeRole", "EndUserSessions"] {
        assert!(stale.contains(&name), "{name}: {stale:?}");
    }
    let secret = target("secrets", "", true, KubernetesVerb::Get);
    let masked = |principal: &Principal| reach(principal, &secret).unwrap().mask_secrets;
    assert!(!masked(&session_with(&ann, shown(Duration::ZERO))) && !masked(&session(&ann)) && !masked(&key(&ann)));
    assert!(masked(&session_with(&ann, shown(Duration::minutes(6)))));
}

#[test]
fn attack_104_role_names_are_exact() {
    for name in ["Admin", "ADMIN", "admin ", " admin", "ａｄｍｉｎ", "", "root"] {
        assert_eq!(Role::built_in(name), None, "{name:?}");
    }
}

#[test]
fn attack_102_a_custom_role_without_grants_holds_nothing() {
    let owner = owner(
        Role::Custom { id: RoleId::from_parts(1, [6; 10]), name: "empty".into(), grants: vec![] },
        Assignments::everything(),
    );
    for verb in VERBS {
        assert!(reach(&session(&owner), &target("pods", "", true, verb)).is_err());
    }
}

proptest! {
    /// A key is never allowed what its owner is not.
    #[test]
    fn allowed_for_the_key_is_allowed_for_the_owner(
        role in prop::sample::select(roles()),
        resource in prop::sample::select(vec![
            ("pods", "", true), ("secrets", "", true), ("nodes", "", false), ("namespaces", "", false),
            ("rolebindings", "rbac.authorization.k8s.io", true), ("widgets", "example.com", true),
        ]),
        verb in prop::sample::select(VERBS.to_vec()),
        namespace in "[ab]",
        assigned in prop::option::of(prop::collection::btree_set("[ab]", 0..3)),
        keys_may_administer: bool,
        required: bool,
    ) {
        let namespaces = assigned.map_or(NamespaceScope::All, NamespaceScope::Named);
        let owner = owner(role, Assignments::new(vec![Assignment { cluster: ClusterScope::Every, namespaces }]));
        let mut target = target(resource.0, resource.1, resource.2, verb);
        target.namespace = target.namespace.map(|_| namespace.clone());
        // The owner at their best: a key is never asked for a second factor.
        let session = session_with(&owner, shown(Duration::ZERO));
        let second_factor = if required { SecondFactorFor::Everybody } else { SecondFactorFor::Nobody };
        let policy = Policy { keys_may_administer, second_factor };
        let by_key = authorize_kubernetes(&key(&owner), &target, &policy, NOW);
        let by_owner = authorize_kubernetes(&session, &target, &policy, NOW);
        if let Ok(by_key) = &by_key {
            let by_owner = by_owner.as_ref().expect("the key was allowed more than its owner");
            prop_assert_eq!(&by_key.reach, &by_owner.reach);
            prop_assert!(by_key.mask_secrets || !by_owner.mask_secrets);
        }
        for line in action::table() {
            if decide(&key(&owner), &line, &policy, NOW).is_ok() {
                prop_assert!(decide(&session, &line, &policy, NOW).is_ok());
            }
        }
    }
}

#[test]
fn a_workload_s_revisions_take_the_right_to_read_them() {
    let missing = |grants: &[&str], plural: &str, group: &str, verb| {
        let grants = grants.iter().map(|grant| grant.parse().unwrap()).collect();
        let role = Role::Custom { id: RoleId::from_parts(1, [7; 10]), name: "narrow".into(), grants };
        let target = KubernetesTarget { name: Some("a".into()), ..target(plural, group, true, verb) };
        match reach(&key(&owner(role, Assignments::everything())), &target) {
            Ok(_) => None,
            Err(Denied::Forbidden { missing }) => Some(missing.to_string()),
            Err(other) => panic!("{other:?}"),
        }
    };
    use KubernetesVerb::{History, Restart, Rollback};
    for (plural, revisions) in
        [("deployments", "replicasets"), ("statefulsets", "controllerrevisions"), ("daemonsets", "controllerrevisions")]
    {
        let (read, write) = (format!("{plural}:read"), format!("{plural}:write"));
        let kept = format!("{revisions}:read");
        for (verb, first, needs_kept) in [(Restart, &write, false), (Rollback, &write, true), (History, &read, true)] {
            assert_eq!(missing(&[&kept], plural, "apps", verb).as_ref(), Some(first), "{plural} {verb:?}");
            let without = missing(&[first], plural, "apps", verb);
            assert_eq!(without, needs_kept.then(|| kept.clone()), "{plural} {verb:?}");
            assert_eq!(missing(&[first, &kept], plural, "apps", verb), None, "{plural} {verb:?}");
        }
    }
}
