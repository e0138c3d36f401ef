//! Grants: nobody gives what they do not hold themselves, and nobody governs who holds more. Otherwise `rbac:manage` and
//! `users:write` would be every right there is.
//!
//! Asked beside `authorize`, never instead of it.

use crate::{
    assignment::{Assignment, Assignments},
    authorize::Denied,
    permission::Pattern,
    principal::{Owner, Principal},
    role::Role,
};

/// Whether the principal may make a role of these grants, or change one to them.
///
/// # Errors
/// [`Denied::Exceeds`] naming the first that they do not hold.
pub fn may_give(principal: &Principal, grants: &[Pattern]) -> Result<(), Denied> {
    let Some(owner) = principal.owner() else { return Ok(()) };
    match grants.iter().find(|pattern| !holds(&owner.role, pattern)) {
        None => Ok(()),
        Some(pattern) => Err(Denied::Exceeds(pattern.to_string())),
    }
}

/// Whether the principal may give the role to somebody, or more places to somebody who has it.
///
/// # Errors
/// [`Denied::Exceeds`].
pub fn may_give_role(principal: &Principal, role: &Role) -> Result<(), Denied> {
    let Some(owner) = principal.owner() else { return Ok(()) };
    match (&owner.role, role) {
        (Role::Admin, _) => Ok(()),
        (_, Role::Custom { grants, .. }) => may_give(principal, grants),
        (_, role) => Err(Denied::Exceeds(format!("the role {}", role.name()))),
    }
}

/// Whether the principal may act on somebody who has this role in these places: give them another one, a password, no
/// second factor; disable, enable or delete them. Who sets a password can sign in with it, so all of it must be theirs.
///
/// # Errors
/// [`Denied::Exceeds`].
pub fn may_govern(principal: &Principal, role: &Role, reach: &Assignments) -> Result<(), Denied> {
    may_give_role(principal, role)?;
    reach.lines().iter().try_for_each(|line| may_assign(principal, line))
}

/// Whether the principal may give or take the assignment.
///
/// # Errors
/// [`Denied::Exceeds`].
pub fn may_assign(principal: &Principal, line: &Assignment) -> Result<(), Denied> {
    let reaches = |owner: &Owner| owner.role.reaches_everything() || owner.assignments.include(line);
    match principal.owner() {
        Some(owner) if !reaches(owner) => Err(Denied::Exceeds("clusters and namespaces that are not yours".into())),
        _ => Ok(()),
    }
}

fn holds(role: &Role, pattern: &Pattern) -> bool {
    match role {
        Role::Admin => true,
        Role::Custom { grants, .. } => grants.iter().any(|grant| grant.includes(pattern)),
        // They hold neither `rbac:manage` nor `users:write`, and are never asked.
        Role::Ops | Role::Dev | Role::Readonly => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        assignment::{ClusterScope, NamespaceScope},
        ids::{ClusterId, KeyId, RoleId, UserId},
    };

    fn principal(role: Role) -> Principal {
        let line = Assignment {
            cluster: ClusterScope::One(ClusterId::from_parts(1, [1; 10])),
            namespaces: NamespaceScope::Named(["a".to_owned()].into()),
        };
        let assignments = Assignments::new(vec![line]);
        let owner = Owner { id: UserId::from_parts(1, [1; 10]), name: "ann".into(), role, assignments };
        Principal::ApiKey { id: KeyId::from_parts(1, [2; 10]), name: "ci".into(), owner: owner.into() }
    }

    fn custom(grants: &[&str]) -> Role {
        let grants = grants.iter().map(|text| text.parse().unwrap()).collect();
        Role::Custom { id: RoleId::from_parts(1, [3; 10]), name: "lead".into(), grants }
    }

    #[test]
    fn only_what_one_holds_is_given() {
        let lead = principal(custom(&["rbac:manage", "pods:*", "*:read"]));
        for (grants, passes) in [
            (&["pods:read", "pods:delete", "deployments:read"][..], true),
            (&["rbac:manage"], true),
            (&["pods:read", "secrets:reveal"], false),
            (&["*:write"], false),
            (&["*:*"], false),
            (&[], true),
        ] {
            assert_eq!(may_give_role(&lead, &custom(grants)).is_ok(), passes, "{grants:?}");
        }
        for role in Role::BUILT_IN {
            assert!(may_give_role(&lead, &role).is_err(), "{role:?}");
            assert!(may_give_role(&principal(Role::Admin), &role).is_ok());
            assert!(may_give_role(&Principal::Operator, &role).is_ok());
        }
    }

    #[test]
    fn only_where_one_reaches_is_assigned() {
        let line = |cluster: u8, namespace: &str| Assignment {
            cluster: ClusterScope::One(ClusterId::from_parts(1, [cluster; 10])),
            namespaces: NamespaceScope::Named([namespace.to_owned()].into()),
        };
        let lead = principal(custom(&["rbac:manage"]));
        assert!(may_assign(&lead, &line(1, "a")).is_ok());
        assert!(may_assign(&lead, &line(1, "b")).is_err() && may_assign(&lead, &line(2, "a")).is_err());
        assert!(may_assign(&principal(Role::Admin), &line(2, "b")).is_ok());
        // A lesser role in more places is more: a password of theirs opens those places.
        let lesser = custom(&["rbac:manage"]);
        for (reach, passes) in [
            (vec![], true),
            (vec![line(1, "a")], true),
            (vec![line(1, "a"), line(1, "b")], false),
            (vec![line(2, "a")], false),
        ] {
            let reach = Assignments::new(reach);
            assert_eq!(may_govern(&lead, &lesser, &reach).is_ok(), passes, "{reach:?}");
            assert!(may_govern(&principal(Role::Admin), &lesser, &reach).is_ok());
        }
    }
}
