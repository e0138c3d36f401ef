//! What can go wrong in the store, as the server tells it apart: the row is taken, the database is in trouble, or a
//! stored value cannot be read. No variant holds a value that was bound to a statement.

use diesel::result::{DatabaseErrorKind, Error as DieselError};

/// A failure of the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A unique name is taken.
    #[error("the name is taken")]
    Conflict,
    /// The database did not do it: down, locked, full, read-only, too slow. Nothing was changed.
    #[error("the database is unavailable: {step}")]
    Unavailable {
        /// What was tried.
        step: &'static str,
        /// The database's own words, for the operator's log alone.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A stored value cannot be read; the row was not written by this version.
    #[error("a stored {what} cannot be read")]
    Unreadable {
        /// The kind of value.
        what: &'static str,
    },
    /// The database cannot be opened as configured.
    #[error("{0}")]
    Setup(String),
}

/// The result of the store's operations.
pub(crate) type Result<T, E = StoreError> = std::result::Result<T, E>;

impl StoreError {
    pub(crate) fn unavailable(step: &'static str, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Unavailable { step, source: source.into() }
    }

    /// Whether the database did not do it.
    pub(crate) fn is_unavailable(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }

    /// Whether it may be done all the same: what became of a commit whose answer was lost is not known.
    #[must_use]
    pub fn may_be_done(&self) -> bool {
        matches!(self, Self::Unavailable { step, .. } if *step == crate::transaction::COMMITTING)
    }

    /// Whether the connection it came over must not be used again.
    pub(crate) fn breaks_connection(&self) -> bool {
        let Self::Unavailable { source, .. } = self else { return false };
        match source.downcast_ref::<DieselError>() {
            Some(DieselError::DatabaseError(kind, _)) => {
                // A connection that was opened while writing was forbidden may go on forbidding it for good.
                use DatabaseErrorKind::{ClosedConnection, ReadOnlyTransaction, UnableToSendCommand};
                matches!(kind, ClosedConnection | UnableToSendCommand | ReadOnlyTransaction)
            }
            Some(DieselError::BrokenTransactionManager | DieselError::RollbackErrorOnCommit { .. }) => true,
            _ => false,
        }
    }
}

impl From<DieselError> for StoreError {
    fn from(error: DieselError) -> Self {
        match error {
            DieselError::DatabaseError(DatabaseErrorKind::UniqueViolation, _) => StoreError::Conflict,
            DieselError::DeserializationError(_) => StoreError::Unreadable { what: "row" },
            other => StoreError::unavailable("running a statement", other),
        }
    }
}
