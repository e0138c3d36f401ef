//! What clusters ask about, and what it takes.

use super::*;
use kv_authz::{
    Assignment, Assignments, ClusterId, ClusterScope, NamespaceScope, Owner, Role, RoleId, permission::Pattern,
};
use std::sync::Arc;
use time::macros::datetime;
use uuid::Uuid;

fn cluster() -> ClusterId {
    Uuid::from_u128(1).into()
}

fn key(role: Role, namespaces: &[&str]) -> Principal {
    let namespaces = match namespaces {
        [] => NamespaceScope::All,
        some => NamespaceScope::Named(some.iter().map(|&name| name.to_owned()).collect()),
    };
    let assignments = Assignments::new(vec![Assignment { cluster: ClusterScope::One(cluster()), namespaces }]);
    let owner = Owner { id: Uuid::from_u128(2).into(), name: "ann".into(), role, assignments };
    Principal::ApiKey { id: Uuid::from_u128(3).into(), name: "ci".into(), owner: Arc::new(owner) }
}

fn custom(grants: &[&str]) -> Role {
    let grants = grants.iter().map(|text| text.parse::<Pattern>().unwrap()).collect();
    Role::Custom { id: RoleId::from(Uuid::from_u128(4)), name: "own".into(), grants }
}

/// `verb [group/]resource[:subresource] [namespace [name]]`.
fn asked(text: &str) -> Attributes {
    let mut words = text.split(' ').map(str::to_owned);
    let (verb, what) = (words.next().unwrap(), words.next().unwrap());
    let (group, what) = what.split_once('/').map_or((String::new(), what.clone()), |(g, w)| (g.into(), w.into()));
    let (resource, subresource) =
        what.split_once(':').map_or((what.clone(), String::new()), |(r, s)| (r.into(), s.into()));
    let (namespace, name) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let namespace = if namespace == "-" { String::new() } else { namespace };
    Attributes { verb, group, resource, subresource, namespace, name }
}

/// `yes`, the missing atom, `hidden`, or `unknown`.
fn answer(principal: &Principal, text: &str) -> String {
    let asker = Asker { id: cluster(), name: "prod".into() };
    let asked = asked(text);
    let namespaced = ["pods", "secrets", "configmaps"].contains(&asked.resource.as_str());
    let Some(question) = Question::read(&asker, &asked, namespaced) else { return "unknown".into() };
    match question.decide(principal, &Policy::default(), datetime!(2026-11-24 12:00 UTC)) {
        Ok(_) => "yes".into(),
        Err(Denied::Forbidden { missing }) => missing.to_string(),
        Err(Denied::Hidden) => "hidden".into(),
        Err(other) => panic!("{text}: {other}"),
    }
}

fn expect(principal: &Principal, table: &[(&str, &str)]) {
    for (text, expected) in table {
        assert_eq!(answer(principal, text), *expected, "{text}");
    }
}

#[test]
fn parts_take_what_the_contract_says() {
    let dev = key(Role::Dev, &["team"]);
    expect(
        &dev,
        &[
            ("get pods team web", "yes"),
            ("deletecollection pods team", "yes"),
            ("get pods:log team web", "yes"),
            ("create pods:exec team web", "yes"),
            ("get pods:portforward team web", "yes"),
            ("patch pods:ephemeralcontainers team web", "yes"),
            ("create pods:eviction team web", "yes"),
            ("update apps/deployments:scale team web", "yes"),
            ("create serviceaccounts:token team default", "rbac:manage"),
            ("create rbac.authorization.k8s.io/rolebindings team", "rbac:manage"),
            ("get pods:exec other web", "hidden"),
            ("get nodes:proxy - one", "pods:exec"),
            ("get pods:unheard team web", "unknown"),
            ("approve pods team web", "unknown"),
            ("* pods team web", "unknown"),
            ("get * team web", "unknown"),
            ("get pods.example.com team web", "unknown"),
            ("impersonate users - ann", "unknown"),
            ("get configmaps:log team x", "yes"),
            ("update namespaces:finalize - team", "unknown"),
            ("create authorization.k8s.io/selfsubjectaccessreviews", "yes"),
            ("create authorization.k8s.io/subjectaccessreviews", "subjectaccessreviews:write"),
        ],
    );
    let ops = key(Role::Ops, &[]);
    expect(
        &ops,
        &[
            ("get nodes:proxy - one", "yes"),
            ("update certificates.k8s.io/certificatesigningrequests:approval - x", "rbac:manage"),
            ("create pods:exec kube-system web", "yes"),
        ],
    );
    let reader = key(custom(&["pods:read"]), &[]);
    expect(
        &reader,
        &[
            ("get pods:log team web", "pods:logs"),
            ("get pods:exec team web", "pods:exec"),
            ("create pods:eviction team web", "pods:delete"),
            ("update pods:status team web", "pods:write"),
            ("get pods:status team web", "yes"),
        ],
    );
}

#[test]
fn nothing_is_put_together_from_namespaces() {
    let some = key(Role::Dev, &["team"]);
    expect(
        &some,
        &[
            ("list pods team", "yes"),
            ("watch pods team", "yes"),
            ("list pods", "pods:read"),
            ("watch pods", "pods:read"),
            ("list namespaces", "namespaces:read"),
            ("get namespaces - team", "yes"),
            ("get namespaces - other", "hidden"),
        ],
    );
    expect(&key(Role::Dev, &[]), &[("list pods", "yes"), ("list namespaces", "yes"), ("list nodes", "nodes:read")]);
}

#[test]
fn secrets_are_for_those_who_may_reveal_them() {
    let dev = key(Role::Dev, &["team"]);
    expect(
        &dev,
        &[
            ("get secrets team s", "secrets:reveal"),
            ("list secrets team", "secrets:reveal"),
            ("watch secrets team", "secrets:reveal"),
            // Answered with what is in them.
            ("patch secrets team s", "secrets:reveal"),
            ("delete secrets team s", "secrets:reveal"),
            ("deletecollection secrets team", "secrets:reveal"),
            ("create secrets team", "yes"),
            ("update secrets team s", "yes"),
        ],
    );
    expect(
        &key(Role::Ops, &[]),
        &[("get secrets team s", "yes"), ("list secrets", "yes"), ("patch secrets a s", "yes")],
    );
    expect(&key(Role::Readonly, &[]), &[("get secrets team s", "secrets:reveal"), ("get configmaps team s", "yes")]);
}
