//! Assignments: given to a user and taken from them, one cluster at a time, or every cluster.

use crate::{
    audit::Occasion,
    backend::AnyConn,
    basis::{ActError, Basis, confirm},
    cuts::{self, Cut},
    error::Result,
    row::bytes,
    schema::assignments,
    store::Store,
    users::{UserAsRead, UserRefused, hold},
};
use diesel::{ExpressionMethods, QueryDsl, RunQueryDsl};
use kv_authz::{
    Action, Assignment, ClusterScope, NamespaceScope, Permit,
    audit::{Detail, Fact, Finish},
};
use uuid::Uuid;

impl Store {
    /// Takes an assignment from a user: what they have for this cluster, or for every one.
    ///
    /// # Errors
    /// [`ActError::Refused`].
    pub fn unassign_user<A: Action>(
        &self,
        permit: &Permit<A>,
        basis: Option<&Basis>,
        (read, cluster): (&UserAsRead, &ClusterScope),
        occasion: &Occasion,
    ) -> Result<(), ActError<UserRefused>> {
        self.write(|conn| {
            confirm(conn, basis, occasion.now)?;
            hold(conn, read)?;
            if take(conn, &bytes(read.id), cluster)? == 0 {
                return Err(ActError::Refused(UserRefused::NoSuchAssignment));
            }
            let before = permit.target().cluster.as_deref().unwrap_or("every cluster");
            let facts = Detail::none().with(Fact::Before, before);
            self.insert_act(conn, permit, occasion, Finish::with_status(204).because(facts))?;
            cuts::note(conn, Cut::User(read.id), occasion.now)?;
            Ok(())
        })
    }

    /// Gives a user these assignments in place of those for the same cluster.
    ///
    /// # Errors
    /// [`ActError::Refused`] where there is no such user.
    pub fn assign_user<A: Action>(
        &self,
        permit: &Permit<A>,
        basis: Option<&Basis>,
        read: &UserAsRead,
        (id, line): (Uuid, &Assignment),
        occasion: &Occasion,
    ) -> Result<(), ActError<UserRefused>> {
        self.write(|conn| {
            confirm(conn, basis, occasion.now)?;
            hold(conn, read)?;
            let row = bytes(read.id);
            take(conn, &row, &line.cluster)?;
            let cluster = match line.cluster {
                ClusterScope::Every => None,
                ClusterScope::One(cluster) => Some(bytes(cluster)),
            };
            let namespaces = match &line.namespaces {
                NamespaceScope::All => None,
                NamespaceScope::Named(names) => serde_json::to_string(names).ok(),
            };
            let facts = Detail::none().with(
                Fact::After,
                format!(
                    "{} {}",
                    permit.target().cluster.as_deref().unwrap_or("every cluster"),
                    namespaces.as_deref().unwrap_or("all namespaces")
                ),
            );
            diesel::insert_into(assignments::table)
                .values((
                    assignments::id.eq(bytes(id)),
                    assignments::user_id.eq(&row),
                    assignments::cluster_id.eq(cluster),
                    assignments::namespaces.eq(namespaces),
                ))
                .execute(conn)?;
            self.insert_act(conn, permit, occasion, Finish::with_status(200).because(facts))?;
            cuts::note(conn, Cut::User(read.id), occasion.now)?;
            Ok(())
        })
    }
}

/// Takes what a user has for a cluster, or for every one, and tells how much that was.
fn take(conn: &mut AnyConn, user: &[u8], cluster: &ClusterScope) -> Result<usize> {
    let theirs = assignments::table.filter(assignments::user_id.eq(user));
    Ok(match cluster {
        ClusterScope::Every => diesel::delete(theirs.filter(assignments::cluster_id.is_null())).execute(conn)?,
        ClusterScope::One(cluster) => {
            diesel::delete(theirs.filter(assignments::cluster_id.eq(bytes(*cluster)))).execute(conn)?
        }
    })
}
