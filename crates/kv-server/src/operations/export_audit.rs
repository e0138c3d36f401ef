//! Export the audit log: every entry a filter finds, the newest first, page by page, so that memory does not grow with it.
//! CSV or JSON Lines; in CSV no cell is one that a spreadsheet would run.

use super::Acting;
use crate::{api::audit::AuditEntry, app::App, failure::Failure};
use kv_authz::{action::ExportAuditLog, audit::Target};
use kv_store::{AuditFilter, AuditRecord, PageRequest};
use std::sync::Arc;

/// The form of an export.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Comma-separated values (RFC 4180), with a header.
    Csv,
    /// One JSON object a line.
    JsonLines,
}

/// How many entries an export would have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counted {
    /// So many, now.
    Exactly(usize),
    /// More than so many; they were not counted further.
    MoreThan(usize),
}

/// How far entries are counted.
const COUNTED: u16 = 10_000;

/// Counts the entries a filter finds, so that whoever exports them knows what they will get.
///
/// # Errors
/// [`Failure`]: 403 without `audit:read`.
pub async fn count(acting: &Acting<'_>, filter: AuditFilter) -> Result<Counted, Failure> {
    Export::allowed(acting)?;
    let found = acting.app.with_store_at_length(move |store| store.count_audit(&filter, COUNTED + 1)).await?;
    let most = usize::from(COUNTED);
    Ok(if found > most { Counted::MoreThan(most) } else { Counted::Exactly(found) })
}

/// The columns of CSV, which are the fields of an entry.
const COLUMNS: [&str; 19] = [
    "id",
    "timestamp",
    "user_id",
    "user",
    "agent",
    "key_id",
    "action",
    "resource",
    "resource_name",
    "cluster",
    "namespace",
    "status_code",
    "outcome",
    "detail",
    "ip",
    "user_agent",
    "request_id",
    "count",
    "owner",
];

/// An export on its way.
#[derive(Debug)]
pub struct Export {
    app: Arc<App>,
    filter: AuditFilter,
    form: Form,
    next: Option<PageRequest>,
    begun: bool,
}

impl Export {
    /// Begins one.
    ///
    /// # Errors
    /// [`Failure`]: 403 without `audit:read`.
    pub fn begin(acting: &Acting<'_>, filter: AuditFilter, form: Form) -> Result<Self, Failure> {
        Self::allowed(acting)?;
        Ok(Self { app: acting.app.clone(), filter, form, next: Some(PageRequest::bulk(None)), begun: false })
    }

    /// Decides on it: when it begins, and again before each piece, for an export may take longer than its owner's rights.
    ///
    /// # Errors
    /// [`Failure`]: 403 without `audit:read`.
    pub fn allowed(acting: &Acting<'_>) -> Result<(), Failure> {
        acting.authorize::<ExportAuditLog>(Target::of("audit-logs"))?;
        Ok(())
    }

    /// The next piece; none when all has been given.
    ///
    /// # Errors
    /// [`Failure`] where the log cannot be read.
    pub async fn piece(&mut self) -> Result<Option<Vec<u8>>, Failure> {
        let Some(page) = self.next.take() else { return Ok(None) };
        let filter = self.filter.clone();
        let found = self.app.with_store_at_length(move |store| store.read_audit(&filter, page)).await?;
        self.next = found.next.map(|id| PageRequest::bulk(Some(id)));
        let first = !std::mem::replace(&mut self.begun, true);
        written(self.form, first, found.items).map(Some)
    }
}

fn written(form: Form, first: bool, records: Vec<AuditRecord>) -> Result<Vec<u8>, Failure> {
    let failed = |error: Box<dyn std::error::Error + Send + Sync>| Failure::Internal {
        step: "writing an export",
        source: Some(error),
    };
    match form {
        Form::JsonLines => {
            let mut out = Vec::new();
            for record in records {
                serde_json::to_writer(&mut out, &AuditEntry::from(record)).map_err(|error| failed(error.into()))?;
                out.push(b'\n');
            }
            Ok(out)
        }
        Form::Csv => {
            let mut csv = csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(Vec::new());
            if first {
                csv.write_record(COLUMNS).map_err(|error| failed(error.into()))?;
            }
            for record in records {
                csv.write_record(cells(record)).map_err(|error| failed(error.into()))?;
            }
            csv.into_inner().map_err(|error| failed(error.to_string().into()))
        }
    }
}

fn cells(record: AuditRecord) -> Vec<String> {
    let owner = record.detail.get("owner").cloned().unwrap_or_default();
    let entry = serde_json::to_value(AuditEntry::from(record)).unwrap_or_default();
    let cell = |column: &&str| match &entry[*column] {
        serde_json::Value::Null => String::new(),
        serde_json::Value::String(text) => harmless(text),
        other => other.to_string(),
    };
    COLUMNS[..COLUMNS.len() - 1].iter().map(cell).chain([owner]).collect()
}

/// Text that a spreadsheet takes for text (OWASP, CSV injection): what begins like a formula gets an apostrophe before it.
fn harmless(text: &str) -> String {
    let begins = text.trim_start_matches([' ', '\u{feff}']).chars().next();
    match begins {
        Some('=' | '+' | '-' | '@' | '\t' | '\r' | '\n' | '＝' | '＋' | '－' | '＠') => format!("'{text}"),
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::harmless;

    #[test]
    fn attack_216_no_cell_is_a_formula() {
        for text in ["=cmd|' /C calc'!A0", "+1", "-1", "@SUM(A1)", "\t=1", " =1", "\u{feff}=1", "＝1", "\r=1"] {
            assert!(harmless(text).starts_with('\''), "{text:?}");
        }
        for text in ["", "ann", "curl/8", "github-actions", "1=1"] {
            assert_eq!(harmless(text), text);
        }
    }
}
