//! What is done with a workload and takes several calls: restart, rollback, history. As `kubectl rollout` does it, but as one
//! request with one entry in the audit log, decided as a whole before the first call.
//!
//! Never here: a call that the plan does not name, or a change of a workload that was not read before.

use super::{
    Answer, Plan,
    effect::{Done, SendError, open, whole},
    revisions::{self, Patch, Workload},
    sentence,
};
use crate::{
    api::input::Body,
    cluster::{ObjectPath, UpstreamError, UpstreamQuery},
    failure::Failure,
    upstreams::Connection,
};
use actix_web::web::Bytes;
use kv_authz::{EntryId, kubernetes::KubernetesVerb};
use serde::Deserialize;
use serde_json::Value;
use std::{cell::Cell, num::NonZeroU64};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// What is to be done, with what it needs.
#[derive(Debug, Clone)]
pub(super) enum Task {
    /// Replace every pod, for a reason that is this time.
    Restart(String),
    /// Go back to this revision, or to the one before.
    Rollback(Option<NonZeroU64>),
    /// Tell the revisions.
    History,
}

/// The body of a rollback.
#[derive(Debug, Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct RollbackTo {
    revision: Option<NonZeroU64>,
}

/// What is asked of a workload by a name below it; none for other resources, whose parts are the cluster's.
#[must_use]
pub fn workload_verb(resource: &str, part: &str) -> Option<KubernetesVerb> {
    let plural = resource.strip_suffix(".apps").unwrap_or(resource);
    kv_authz::kubernetes::revisions_of(plural, "apps")?;
    verb(part)
}

fn verb(part: &str) -> Option<KubernetesVerb> {
    match part {
        "restart" => Some(KubernetesVerb::Restart),
        "rollback" => Some(KubernetesVerb::Rollback),
        "history" => Some(KubernetesVerb::History),
        _ => None,
    }
}

/// That a resource has no such part, where the name is one of those that workloads have.
pub(super) fn no_workload(part: &str) -> Option<Failure> {
    verb(part)?;
    let detail = format!("Only `deployments`, `statefulsets` and `daemonsets` of the group `apps` have `{part}`.");
    Some(Failure::Invalid { status: 404, code: "not_found", detail })
}

/// The task of a verb; none for one that is a single call.
pub(super) fn task(verb: KubernetesVerb, body: &Body, now: OffsetDateTime) -> Result<Option<Task>, Failure> {
    Ok(Some(match verb {
        KubernetesVerb::Restart => {
            super::none(body)?;
            let now = now.format(&Rfc3339).map_err(|error| Failure::internal("writing the time", error))?;
            Task::Restart(now)
        }
        KubernetesVerb::Rollback if body.bytes.is_empty() => Task::Rollback(None),
        KubernetesVerb::Rollback => Task::Rollback(body.json::<RollbackTo>()?.revision),
        KubernetesVerb::History => {
            super::none(body)?;
            Task::History
        }
        _ => return Ok(None),
    }))
}

/// A task on its way.
pub(super) struct Running<'a> {
    pub(super) connection: &'a Connection,
    pub(super) plan: &'a Plan,
    pub(super) id: EntryId,
    /// The workload.
    pub(super) object: &'a ObjectPath,
    /// Where its revisions are.
    pub(super) revisions: &'a ObjectPath,
    /// Set before the first byte of a write: until then nothing was changed, however it ends.
    pub(super) writing: &'a Cell<bool>,
}

impl Running<'_> {
    /// Does it.
    pub(super) async fn run(&self, task: &Task) -> Result<Answer, SendError> {
        let time = self.connection.limits.time;
        tokio::time::timeout(time, self.steps(task)).await.unwrap_or(Err(UpstreamError::Timeout.into()))
    }

    async fn steps(&self, task: &Task) -> Result<Answer, SendError> {
        let as_read = self.get(&self.object.to_read(), &UpstreamQuery::default()).await?;
        let workload: Workload = serde_json::from_slice(&as_read).map_err(|_| UpstreamError::NotKubernetes)?;
        match task {
            Task::History => {
                let revisions = self.kept(&workload).await?;
                Ok(Answer::json(200, workload.history(&revisions).to_string()))
            }
            Task::Restart(now) => {
                refuse_paused(&workload, "restarted")?;
                self.patch(revisions::restart(now)).await
            }
            Task::Rollback(number) => {
                refuse_paused(&workload, "rolled back")?;
                let revisions = self.kept(&workload).await?;
                let chosen = workload.choose(&revisions, *number).map_err(|error| {
                    let detail = sentence(&error);
                    ours(Failure::Invalid { status: 404, code: "revision_not_found", detail })
                })?;
                match chosen {
                    Some(revision) => self.patch(workload.rollback(revision)).await,
                    // It is that revision already.
                    None => Ok(Answer::json(200, as_read)),
                }
            }
        }
    }

    async fn get(&self, path: &ObjectPath, query: &UpstreamQuery) -> Result<Bytes, SendError> {
        let opened = open(self.connection, self.plan, self.plan.part(path, query, self.id)).await?;
        whole(self.connection, self.plan, opened).await
    }

    async fn kept(&self, workload: &Workload) -> Result<Vec<revisions::Revision>, SendError> {
        let list = self.get(self.revisions, &UpstreamQuery::with_labels(workload.labels())).await?;
        let list: Value = serde_json::from_slice(&list).map_err(|_| UpstreamError::NotKubernetes)?;
        workload.revisions(list).map_err(|_| UpstreamError::NotKubernetes.into())
    }

    async fn patch(&self, (media_type, patch): Patch) -> Result<Answer, SendError> {
        let path = self.object.to_change();
        let path = path.ok_or_else(|| ours(Failure::Internal { step: "changing what is read", source: None }))?;
        let call = self.plan.part(&path, &self.plan.query, self.id);
        let call = call.with_body(media_type, patch.to_string());
        self.writing.set(true);
        let opened = open(self.connection, self.plan, call).await.map_err(|error| changed_meanwhile(error, &patch))?;
        let status = opened.status.as_u16();
        Ok(Answer::json(status, whole(self.connection, self.plan, opened).await?))
    }
}

fn ours(failure: Failure) -> SendError {
    SendError::Failed(failure, Done::No)
}

fn refuse_paused(workload: &Workload, what: &str) -> Result<(), SendError> {
    if !workload.is_paused() {
        return Ok(());
    }
    let detail = format!(
        "This Deployment is paused and cannot be {what}. Resume it first: patch it with `{{\"spec\": {{\"paused\": false}}}}`."
    );
    Err(ours(Failure::Conflict { code: "workload_paused", detail }))
}

/// A cluster says of a test that failed no more than that the patch does not apply.
fn changed_meanwhile(error: SendError, patch: &Value) -> SendError {
    match error {
        SendError::Refused(refusal, _)
            if patch.is_array() && refusal.status.as_u16() == 422 && !refusal.has_causes() =>
        {
            let detail = "The workload was changed while it was read. Look at it, and try again.".into();
            ours(Failure::Conflict { code: "cluster_conflict", detail })
        }
        other => other,
    }
}
