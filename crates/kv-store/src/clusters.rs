//! Clusters: registered, listed, changed, removed. The way into one is kept sealed; this room cannot open it.

use crate::{
    audit::Occasion,
    backend::AnyConn,
    basis::{ActError, Basis, confirm},
    cuts::{self, Cut},
    error::{Result, StoreError},
    revisions::CLUSTERS,
    row::{bytes, id, micros, text, time},
    schema::{clusters, revisions},
    store::Store,
};
use ::time::OffsetDateTime;
use diesel::{ExpressionMethods, OptionalExtension, QueryDsl, RunQueryDsl};
use kv_authz::{
    Action, ClusterId, Permit,
    audit::{Detail, Fact, Finish},
};
use subtle::ConstantTimeEq;

/// A cluster about to be registered.
#[derive(Clone)]
pub struct NewCluster {
    /// Its id.
    pub id: ClusterId,
    /// Its name, unique.
    pub name: String,
    /// The address of its API server, for display.
    pub server: String,
    /// The way in, sealed for this id.
    pub sealed: Vec<u8>,
    /// Whether calls name the caller by impersonation.
    pub impersonate: bool,
}

/// A registered cluster, without the way in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterRecord {
    /// Its id.
    pub id: ClusterId,
    /// Its name.
    pub name: String,
    /// The address of its API server.
    pub server: String,
    /// When it was registered.
    pub created_at: OffsetDateTime,
    /// Whether calls name the caller by impersonation.
    pub impersonate: bool,
}

/// Every cluster, as of one version of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterList {
    /// The version, for [`Basis::clusters_version`].
    pub version: i64,
    /// The primary it was read from, for [`Basis::timeline`].
    pub timeline: i64,
    /// The clusters by name.
    pub clusters: Vec<ClusterRecord>,
}

/// Why a cluster was not registered or removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ClusterRefused {
    /// The name is taken.
    #[error("a cluster of this name is registered")]
    NameTaken,
    /// There is no such cluster.
    #[error("there is no such cluster")]
    NoSuchCluster,
}

/// The version of the list of clusters.
pub(crate) fn version(conn: &mut AnyConn) -> Result<i64> {
    Ok(revisions::table.find(CLUSTERS).select(revisions::version).get_result(conn)?)
}

fn bump(conn: &mut AnyConn) -> Result<()> {
    diesel::update(revisions::table.find(CLUSTERS)).set(revisions::version.eq(revisions::version + 1)).execute(conn)?;
    Ok(())
}

impl Store {
    /// Registers a cluster.
    ///
    /// # Errors
    /// [`ActError::Refused`] where the name is taken.
    pub fn add_cluster<A: Action>(
        &self,
        permit: &Permit<A>,
        basis: Option<&Basis>,
        cluster: &NewCluster,
        occasion: &Occasion,
    ) -> Result<(), ActError<ClusterRefused>> {
        self.write(|conn| {
            confirm(conn, basis, occasion.now)?;
            bump(conn)?;
            let inserted = diesel::insert_into(clusters::table)
                .values((
                    clusters::id.eq(bytes(cluster.id)),
                    clusters::name.eq(&cluster.name),
                    clusters::server.eq(&cluster.server),
                    clusters::sealed.eq(&cluster.sealed),
                    clusters::created_at.eq(micros(occasion.now)),
                    clusters::impersonate.eq(i64::from(cluster.impersonate)),
                ))
                .execute(conn)
                .map_err(StoreError::from);
            match inserted {
                Err(StoreError::Conflict) => return Err(ActError::Refused(ClusterRefused::NameTaken)),
                other => other?,
            };
            let facts = Detail::none().with(Fact::ObjectId, cluster.id.to_string()).with(Fact::After, &*cluster.server);
            self.insert_act(conn, permit, occasion, Finish::with_status(201).because(facts))?;
            // Nothing runs in it yet. Every server is to know of it, for people read on what theirs knows.
            cuts::note(conn, Cut::Cluster(cluster.id), occasion.now)?;
            Ok(())
        })
    }

    /// Says whether calls to a cluster name the caller. Whatever was decided before is decided again.
    ///
    /// # Errors
    /// [`ActError::Refused`] where there is none of this id.
    pub fn set_impersonation<A: Action>(
        &self,
        permit: &Permit<A>,
        basis: Option<&Basis>,
        cluster: ClusterId,
        impersonate: bool,
        occasion: &Occasion,
    ) -> Result<(), ActError<ClusterRefused>> {
        self.write(|conn| {
            confirm(conn, basis, occasion.now)?;
            let row = clusters::table.filter(clusters::id.eq(bytes(cluster)));
            let before: Option<i64> = row.clone().select(clusters::impersonate).first(conn).optional()?;
            let before = before.ok_or(ActError::Refused(ClusterRefused::NoSuchCluster))? != 0;
            // What is as it was moves nothing: nobody need decide again.
            if impersonate != before {
                bump(conn)?;
                let there = diesel::update(row).set(clusters::impersonate.eq(i64::from(impersonate))).execute(conn)?;
                if there == 0 {
                    return Err(ActError::Refused(ClusterRefused::NoSuchCluster));
                }
            }
            let facts = Detail::none()
                .with(Fact::ObjectId, cluster.to_string())
                .with(Fact::Before, format!("impersonate: {before}"))
                .with(Fact::After, format!("impersonate: {impersonate}"));
            self.insert_act(conn, permit, occasion, Finish::with_status(200).because(facts))?;
            if impersonate != before {
                cuts::note(conn, Cut::Cluster(cluster), occasion.now)?;
            }
            Ok(())
        })
    }

    /// Keeps the digest of a cluster's webhook token in the place of the one before, or of none.
    ///
    /// # Errors
    /// [`ActError::Refused`] where there is none of this id.
    pub fn set_webhook_token<A: Action>(
        &self,
        permit: &Permit<A>,
        basis: Option<&Basis>,
        cluster: ClusterId,
        digest: Option<&[u8]>,
        occasion: &Occasion,
    ) -> Result<(), ActError<ClusterRefused>> {
        self.write(|conn| {
            confirm(conn, basis, occasion.now)?;
            bump(conn)?;
            let row = clusters::table.filter(clusters::id.eq(bytes(cluster)));
            let before: Option<Option<Vec<u8>>> =
                row.clone().select(clusters::webhook_digest).first(conn).optional()?;
            let before = before.ok_or(ActError::Refused(ClusterRefused::NoSuchCluster))?.is_some();
            diesel::update(row).set(clusters::webhook_digest.eq(digest)).execute(conn)?;
            let (told, status) = match digest {
                Some(_) => ("webhook token: a new one", 201),
                None => ("webhook token: none", 204),
            };
            let facts = Detail::none()
                .with(Fact::ObjectId, cluster.to_string())
                .with(Fact::Before, if before { "webhook token: one" } else { "webhook token: none" })
                .with(Fact::After, told);
            self.insert_act(conn, permit, occasion, Finish::with_status(status).because(facts))?;
            cuts::note(conn, Cut::Webhook(cluster), occasion.now)?;
            Ok(())
        })
    }

    /// The cluster of this name, if the digest is its webhook token's.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn cluster_of_webhook(&self, name: &str, digest: &[u8]) -> Result<Option<ClusterId>> {
        self.read(|conn| {
            let row = clusters::table.filter(clusters::name.eq(text(name)));
            let found = row.select((clusters::id, clusters::webhook_digest));
            let found: Option<(Vec<u8>, Option<Vec<u8>>)> = found.first(conn).optional()?;
            let Some((cluster, Some(kept))) = found else { return Ok(None) };
            if bool::from(kept.ct_eq(digest)) { id(&cluster).map(Some) } else { Ok(None) }
        })
    }

    /// Removes a cluster and every assignment to it.
    ///
    /// # Errors
    /// [`ActError::Refused`] where there is none of this id.
    pub fn remove_cluster<A: Action>(
        &self,
        permit: &Permit<A>,
        basis: Option<&Basis>,
        cluster: ClusterId,
        occasion: &Occasion,
    ) -> Result<(), ActError<ClusterRefused>> {
        self.write(|conn| {
            confirm(conn, basis, occasion.now)?;
            bump(conn)?;
            let row = clusters::table.filter(clusters::id.eq(bytes(cluster)));
            if diesel::delete(row).execute(conn)? == 0 {
                return Err(ActError::Refused(ClusterRefused::NoSuchCluster));
            }
            let mut facts = Detail::none().with(Fact::ObjectId, cluster.to_string());
            if permit.actor().key_id.is_some() {
                facts.add(Fact::SecondFactor, "bypassed by key");
            }
            self.insert_act(conn, permit, occasion, Finish::with_status(204).because(facts))?;
            cuts::note(conn, Cut::Cluster(cluster), occasion.now)?;
            // It asks no more, either.
            cuts::note(conn, Cut::Webhook(cluster), occasion.now)?;
            Ok(())
        })
    }

    /// Every cluster, with the version of the list read first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn list_clusters(&self) -> Result<ClusterList> {
        let timeline = self.timeline();
        self.read(|conn| {
            let version = version(conn)?;
            let rows = clusters::table
                .order(clusters::name)
                .select((clusters::id, clusters::name, clusters::server, clusters::created_at, clusters::impersonate))
                .load::<(Vec<u8>, String, String, i64, i64)>(conn)?;
            let clusters = rows.into_iter().map(|(bytes, name, server, created, impersonate)| {
                let (id, created_at) = (id(&bytes)?, time(created)?);
                Ok(ClusterRecord { id, name, server, created_at, impersonate: impersonate != 0 })
            });
            Ok(ClusterList { version, timeline, clusters: clusters.collect::<Result<_>>()? })
        })
    }

    /// Every sealed way in, by its row.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn sealed_clusters(&self) -> Result<Vec<(uuid::Uuid, Vec<u8>)>> {
        self.read(|conn| {
            let rows: Vec<(Vec<u8>, Vec<u8>)> = clusters::table.select((clusters::id, clusters::sealed)).load(conn)?;
            rows.into_iter().map(|(row, sealed)| Ok((id(&row)?, sealed))).collect()
        })
    }

    /// Keeps a way in sealed anew, if it is still the one that was read, and tells whether it was.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn reseal_cluster(&self, cluster: uuid::Uuid, old: &[u8], new: &[u8]) -> Result<usize> {
        self.write(|conn| {
            let row = clusters::table.filter(clusters::id.eq(bytes(cluster))).filter(clusters::sealed.eq(old));
            Ok(diesel::update(row).set(clusters::sealed.eq(new)).execute(conn)?)
        })
    }

    /// The sealed way into a cluster.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn sealed_cluster(&self, cluster: ClusterId) -> Result<Option<Vec<u8>>> {
        self.read(|conn| {
            let row = clusters::table.filter(clusters::id.eq(bytes(cluster)));
            Ok(row.select(clusters::sealed).first(conn).optional()?)
        })
    }
}
