//! Read the audit log.

use super::Acting;
use crate::failure::Failure;
use kv_authz::{action::ReadAuditLog, audit::Target};
use kv_store::{AuditFilter, AuditRecord, Page, PageRequest};

/// A page of entries, the newest first.
///
/// # Errors
/// [`Failure`]: 403 without `audit:read`.
pub async fn read_audit(
    acting: Acting<'_>,
    filter: AuditFilter,
    page: PageRequest,
) -> Result<Page<AuditRecord>, Failure> {
    acting.authorize::<ReadAuditLog>(Target::of("audit-logs"))?;
    acting.app.with_store_at_length(move |store| store.read_audit(&filter, page)).await
}
