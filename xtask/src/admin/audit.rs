//! `cargo xtask audit`: the log shown, exported, looked through for what was touched, and purged.

use super::{
    cli::{AuditForm, AuditTask},
    operator,
};
use crate::{
    error::{Done, TaskError, Tried},
    output::{line, progress, rows},
};
use kv_server::{
    api::{audit::AuditEntry, input},
    app::App,
    operations::{
        export_audit::{Export, Form},
        purge_audit::purge_audit,
        read_audit::read_audit,
    },
};
use kv_store::{AuditFilter, AuditRecord, PageRequest};
use serde_json::Value;
use std::{
    fs::OpenOptions,
    io::{BufWriter, Write},
    os::unix::fs::OpenOptionsExt,
    sync::Arc,
};
use time::Duration;

const COLUMNS: [&str; 10] = [
    "timestamp",
    "user",
    "agent",
    "action",
    "resource",
    "resource_name",
    "cluster",
    "namespace",
    "status_code",
    "outcome",
];
/// What is younger may still wait for its seal.
const SEALED_BY_NOW: Duration = Duration::seconds(15);

/// Runs a task.
pub(super) async fn run(app: &Arc<App>, task: AuditTask) -> Done {
    match task {
        AuditTask::List { user, agent, limit, json } => {
            let filter = AuditFilter { user, agent, ..AuditFilter::default() };
            let page = read_audit(operator(app)?, filter, PageRequest::new(limit, None)).await?;
            let told = |entry: AuditRecord| serde_json::to_value(AuditEntry::from(entry)).unwrap_or_default();
            let table: Vec<Value> = page.items.into_iter().map(told).collect();
            rows(json, &COLUMNS, &table);
            Ok(())
        }
        AuditTask::Export { form, out, since, until } => {
            let time = |text: Option<String>, flag| text.map(|text| input::time(&text, flag)).transpose();
            let filter = AuditFilter {
                since: time(since, "--since")?,
                until: time(until, "--until")?,
                ..AuditFilter::default()
            };
            let form = match form {
                AuditForm::Csv => Form::Csv,
                AuditForm::Jsonl => Form::JsonLines,
            };
            let mut export = Export::begin(&operator(app)?, filter, form)?;
            let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&out);
            let mut file = BufWriter::new(file.tried(&format!("making {}", out.display()))?);
            let mut pieces = 0_u64;
            while let Some(piece) = export.piece().await? {
                file.write_all(&piece).tried("writing the export")?;
                pieces += 1;
                if pieces.is_multiple_of(50) {
                    progress(&format!("{pieces} pages of a thousand entries"));
                }
            }
            file.flush().tried("writing the export")?;
            line(&format!("The log is in {}.", out.display()));
            Ok(())
        }
        AuditTask::Verify { json } => verify(app, json),
        AuditTask::Purge => {
            let (mut entries, mut days) = (0, 0);
            loop {
                let step = purge_audit(app).await?;
                if step.is_nothing() {
                    break;
                }
                (entries, days) = (entries + step.entries, days + step.days);
                progress(&format!("{entries} entries and {days} whole days deleted so far"));
            }
            line(&format!("{entries} entries and {days} whole days were over and are deleted."));
            Ok(())
        }
    }
}

fn verify(app: &Arc<App>, json: bool) -> Done {
    let until = app.clock.now() - SEALED_BY_NOW;
    let verified = app.store.verify_audit(app.seal_key(), until, &|rows| progress(&format!("{rows} rows looked at")));
    let verified = verified.tried("reading the log")?;
    if json {
        let told = serde_json::json!({
            "seals": verified.seals, "intact": verified.intact, "findings": verified.findings,
        });
        line(&told.to_string());
    } else {
        verified.findings.iter().for_each(|finding| line(finding));
        line(&format!("{} rows are as they were sealed, by {} seals.", verified.intact, verified.seals));
    }
    match verified.findings.len() {
        0 => Ok(()),
        count => Err(TaskError::new(format!("{count} findings: the log was touched by something that is no server"))),
    }
}
