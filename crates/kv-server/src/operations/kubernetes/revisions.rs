//! The revisions of a workload: reading them out of what the cluster keeps, choosing one, and the patch that brings its
//! template back. As `kubectl rollout history` and `undo` do it.
//!
//! Never here: a call, the time, or a field of a template that is left out because it is not known here.

use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::{collections::BTreeMap, num::NonZeroU64};

/// Where the Deployment controller writes a revision's number.
const REVISION: &str = "deployment.kubernetes.io/revision";
/// What a change was made for, by whoever made it.
const CHANGE_CAUSE: &str = "kubernetes.io/change-cause";
/// Where a restart is written, so that the template differs.
const RESTARTED_AT: &str = "kubectl.kubernetes.io/restartedAt";
/// What tells the pods of one ReplicaSet from another's; the controller's, never the template's own.
const TEMPLATE_HASH: &str = "pod-template-hash";
/// Annotations that are the Deployment's own and do not go back with a template.
const STAYS: [&str; 6] = [
    "kubectl.kubernetes.io/last-applied-configuration",
    REVISION,
    "deployment.kubernetes.io/revision-history",
    "deployment.kubernetes.io/desired-replicas",
    "deployment.kubernetes.io/max-replicas",
    "deprecated.deployment.rollback.to",
];

type Annotations = BTreeMap<String, String>;

#[derive(Debug, Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Metadata {
    uid: String,
    generation: u64,
    annotations: Annotations,
    creation_timestamp: Option<String>,
    owner_references: Vec<OwnerReference>,
}

#[derive(Debug, Deserialize)]
struct OwnerReference {
    uid: String,
    #[serde(default)]
    controller: bool,
}

/// A Deployment, StatefulSet or DaemonSet, as far as it matters here.
#[derive(Debug, Deserialize)]
pub(super) struct Workload {
    metadata: Metadata,
    spec: Spec,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    #[serde(default)]
    paused: bool,
    #[serde(default)]
    selector: Selector,
    template: Value,
}

#[derive(Debug, Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Selector {
    match_labels: Annotations,
}

#[derive(Debug, Deserialize)]
struct List {
    items: Vec<Kept>,
}

/// A ReplicaSet or a ControllerRevision.
#[derive(Debug, Deserialize)]
struct Kept {
    metadata: Metadata,
    #[serde(default)]
    spec: Value,
    #[serde(default)]
    data: Value,
    #[serde(default)]
    revision: Option<u64>,
}

/// One revision of a workload.
#[derive(Debug)]
pub(super) struct Revision {
    number: u64,
    created_at: Option<String>,
    annotations: Annotations,
    template: Value,
    is_replica_set: bool,
}

/// There is no revision to go back to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum NoRevision {
    /// None of this number.
    #[error("there is no revision {0} of this workload; its `history` says which there are")]
    Numbered(NonZeroU64),
    /// None but the one it has.
    #[error("there is no earlier revision of this workload to go back to")]
    Earlier,
}

/// A patch and its media type.
pub(super) type Patch = (&'static str, Value);

const STRATEGIC: &str = "application/strategic-merge-patch+json";

impl Workload {
    /// Whether changes of the template are held back for now.
    pub(super) fn is_paused(&self) -> bool {
        self.spec.paused
    }

    /// The labels that all its revisions have.
    pub(super) fn labels(&self) -> impl Iterator<Item = (&str, &str)> {
        self.spec.selector.match_labels.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// Its revisions in a list of the cluster's, the newest first. What another workload owns, or no controller numbered, is
    /// none.
    pub(super) fn revisions(&self, list: Value) -> Result<Vec<Revision>, serde_json::Error> {
        let list: List = serde_json::from_value(list)?;
        let mut revisions: Vec<Revision> = list.items.into_iter().filter_map(|kept| self.revision(kept)).collect();
        revisions.sort_by_key(|revision| std::cmp::Reverse(revision.number));
        Ok(revisions)
    }

    fn revision(&self, kept: Kept) -> Option<Revision> {
        let Kept { metadata, mut spec, mut data, revision } = kept;
        if !metadata.owner_references.iter().any(|owner| owner.controller && owner.uid == self.metadata.uid) {
            return None;
        }
        let numbered = metadata.annotations.get(REVISION).and_then(|number| number.parse().ok());
        let (number, template, is_replica_set) = match revision {
            Some(number) => (number, data.pointer_mut("/spec/template")?.take(), false),
            None => (numbered?, spec.get_mut("template")?.take(), true),
        };
        let Metadata { annotations, creation_timestamp: created_at, .. } = metadata;
        template.is_object().then_some(Revision { number, created_at, annotations, template, is_replica_set })
    }

    fn has(&self, revision: &Revision) -> bool {
        plain(&self.spec.template) == plain(&revision.template)
    }

    /// The revisions as they are told.
    pub(super) fn history(&self, revisions: &[Revision]) -> Value {
        let current = revisions.iter().position(|revision| self.has(revision));
        let told = |(at, revision): (usize, &Revision)| {
            json!({
                "revision": revision.number, "created_at": revision.created_at,
                "change_cause": revision.annotations.get(CHANGE_CAUSE),
                "current": current == Some(at), "images": revision.images(),
            })
        };
        json!({"items": revisions.iter().enumerate().map(told).collect::<Vec<_>>(), "next_cursor": null})
    }

    /// The revision to go back to; none if the workload has its template already. Without a number, the newest whose template
    /// it does not have: the controller may not have numbered the last change yet.
    pub(super) fn choose<'a>(
        &self,
        revisions: &'a [Revision],
        number: Option<NonZeroU64>,
    ) -> Result<Option<&'a Revision>, NoRevision> {
        let Some(number) = number else {
            let earlier = revisions.iter().find(|revision| !self.has(revision));
            return earlier.map(Some).ok_or(NoRevision::Earlier);
        };
        let found = revisions.iter().find(|revision| revision.number == number.get());
        let found = found.ok_or(NoRevision::Numbered(number))?;
        Ok((!self.has(found)).then_some(found))
    }

    /// The patch that brings a revision's template back, to the workload as it was read and no other.
    pub(super) fn rollback(&self, revision: &Revision) -> Patch {
        let mut template = revision.template.clone();
        if !revision.is_replica_set {
            // Else what the template has by now and had not then would stay.
            template["$patch"] = json!("replace");
            return (STRATEGIC, json!({"metadata": {"uid": self.metadata.uid}, "spec": {"template": template}}));
        }
        remove_hash(&mut template);
        let stays = |name: &str| STAYS.contains(&name);
        let own = self.metadata.annotations.iter().filter(|(name, _)| stays(name));
        let back = revision.annotations.iter().filter(|(name, _)| !stays(name));
        let annotations: Annotations = own.chain(back).map(|(name, value)| (name.clone(), value.clone())).collect();
        let patch = json!([
            {"op": "test", "path": "/metadata/uid", "value": self.metadata.uid},
            {"op": "test", "path": "/metadata/generation", "value": self.metadata.generation},
            {"op": "replace", "path": "/spec/template", "value": template},
            {"op": "add", "path": "/metadata/annotations", "value": annotations},
        ]);
        ("application/json-patch+json", patch)
    }
}

/// The patch that has every pod replaced.
pub(super) fn restart(now: &str) -> Patch {
    (STRATEGIC, json!({"spec": {"template": {"metadata": {"annotations": {RESTARTED_AT: now}}}}}))
}

impl Revision {
    fn images(&self) -> Vec<&str> {
        let containers = self.template.pointer("/spec/containers").and_then(Value::as_array);
        let containers = containers.map(Vec::as_slice).unwrap_or_default();
        containers.iter().filter_map(|container| container.get("image")?.as_str()).collect()
    }
}

fn remove_hash(template: &mut Value) {
    let labels = template.pointer_mut("/metadata/labels").and_then(Value::as_object_mut);
    labels.and_then(|labels| labels.remove(TEMPLATE_HASH));
}

/// A template without what controllers add to it, so that two can be compared.
fn plain(template: &Value) -> Value {
    let mut template = template.clone();
    remove_hash(&mut template);
    if let Some(object) = template.as_object_mut() {
        object.remove("$patch");
    }
    without_nothing(template)
}

/// Without nulls: whether they are written out depends on who wrote it.
fn without_nothing(value: Value) -> Value {
    match value {
        Value::Object(object) => {
            let fields = object.into_iter().filter(|(_, value)| !value.is_null());
            Value::Object(fields.map(|(name, value)| (name, without_nothing(value))).collect::<Map<_, _>>())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(without_nothing).collect()),
        other => other,
    }
}

#[cfg(test)]
#[path = "revisions_tests.rs"]
mod tests;
