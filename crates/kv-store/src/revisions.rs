//! Revisions: numbers that the database moves with everything that decisions rest on. Whoever decided at the same numbers would
//! decide the same again.
//!
//! Never moved here, but by triggers and by the acts themselves.

use crate::{
    backend::AnyConn,
    error::{Result, StoreError},
    schema::revisions,
};
use diesel::{ExpressionMethods, QueryDsl, RunQueryDsl};

/// The row that moves with every change which could make an admitted credential a refused or a stale one, by triggers.
pub(crate) const STANDINGS: &str = "standings";
/// The row that moves with the list of clusters.
pub(crate) const CLUSTERS: &str = "clusters";

/// The numbers at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Revisions {
    /// The primary that they were read from, by its number; another can have come to the same ones by other changes. 0 on SQLite.
    pub timeline: i64,
    /// Of credentials, their owners and roles.
    pub standings: i64,
    /// Of the list of clusters.
    pub clusters: i64,
}

impl Revisions {
    /// Reads them over a connection that leads to this primary.
    pub(crate) fn read(conn: &mut AnyConn, timeline: i64) -> Result<Self> {
        // In one statement: of one moment.
        let rows: Vec<(String, i64)> = revisions::table
            .filter(revisions::name.eq_any([STANDINGS, CLUSTERS]))
            .select((revisions::name, revisions::version))
            .load(conn)?;
        let of = |wanted: &str| {
            let found = rows.iter().find(|(name, _)| name == wanted).map(|&(_, version)| version);
            found.ok_or(StoreError::Unreadable { what: "revision" })
        };
        Ok(Self { timeline, standings: of(STANDINGS)?, clusters: of(CLUSTERS)? })
    }
}
