//! What somebody may do in a cluster, as Kubernetes asks it (`kubectl auth can-i`): what KubeVision allows them, and of that
//! what the cluster allows KubeVision. The cluster alone would answer for the account that is registered.

use super::{
    Answer, Plan, Wanted, Work, effect,
    wanted::{self, Goal},
};
use crate::{
    admission::Reaching,
    api::input::Body,
    caller::Caller,
    cluster::{Accept, Group, NativePath, Plural, UpstreamQuery, body, protobuf},
    failure::Failure,
    operations::webhooks::Attributes,
    upstreams::{Connection, Upstreams},
    view::View,
};
use kv_authz::{
    Denied, Owner, Permission, Resource, Subresource, Verb,
    audit::Detail,
    kubernetes::{Allowed, KubernetesTarget, KubernetesVerb, Reach, authorize_kubernetes},
    role::Scope,
};
use serde::Deserialize;
use serde_json::{Value, json};

/// What of `SelfSubjectAccessReview` and `SelfSubjectRulesReview` is read.
#[derive(Debug, Deserialize)]
struct Review {
    #[serde(default)]
    spec: Spec,
}

#[derive(Debug, Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Spec {
    resource_attributes: Option<Attributes>,
    non_resource_attributes: Option<Path>,
    namespace: Option<String>,
}

/// A path outside the resources (`NonResourceAttributes`).
#[derive(Debug, Deserialize, Default)]
#[serde(default)]
struct Path {
    /// The path.
    path: String,
    /// The HTTP method in lower case, or `*`.
    verb: String,
}

/// The questions about oneself that are answered here, by group and plural.
#[must_use]
pub fn is_review(group: &str, plural: &str) -> bool {
    matches!(
        (group, plural),
        ("authorization.k8s.io", "selfsubjectaccessreviews" | "selfsubjectrulesreviews")
            | ("authentication.k8s.io", "selfsubjectreviews")
    )
}

/// Answers one of them.
///
/// # Errors
/// [`Failure`] for what cannot be read, for a cluster the caller may not know, and where the cluster does not answer.
pub async fn review(caller: &Caller, upstreams: &Upstreams, wanted: Wanted) -> Result<Answer, Failure> {
    let event = kv_authz::audit::Event::KubernetesReview;
    caller.about(event, wanted.about());
    let found = wanted::find(caller, upstreams, &wanted).await?;
    let Goal::Object(path) = &found.goal else {
        return Err(Failure::Internal { step: "a review of a document", source: None });
    };
    let query = UpstreamQuery::parse(KubernetesVerb::Review, None, &wanted.query)
        .map_err(|error| Failure::invalid("malformed_query", super::sentence(&error)))?;
    let asked = read(&wanted.body)?;
    let decide = async |view: &View| {
        if wanted::cluster_id(view, &found.name)? != found.id {
            return Err(Failure::Stale);
        }
        let mut target = found.goal.target(found.id, &found.name);
        target.verb = KubernetesVerb::Review;
        let Allowed { reach, .. } =
            authorize_kubernetes(&view.principal, &target, caller.app().policy(), caller.app().clock.now())?;
        let identity = view.identity_in(found.id)?;
        // Before it is admitted, as whatever reaches into a cluster.
        let named_as = view.named_as(identity.as_ref());
        caller.guard().reaches(Reaching { target: target.clone(), reach, reveals: false, named_as });
        let own = match (path.served().plural().as_str(), &asked.spec) {
            ("selfsubjectreviews", _) => Some(json!({"userInfo": user_info(view)})),
            ("selfsubjectrulesreviews", spec) => Some(rules(view, &target, spec)),
            (_, Spec { resource_attributes: Some(attributes), .. }) => {
                may(caller, view, &found.connection, &target, attributes)
            }
            (_, Spec { non_resource_attributes: Some(path), .. }) => may_read(path),
            _ => return Err(Failure::unprocessable("malformed_review", "Ask about a resource or a path.")),
        };
        Ok(((own, identity), Detail::none()))
    };
    let audited = found.goal.target(found.id, &found.name).audited();
    let ((own, identity), begun) = caller.begin(true, event, audited, decide).await?;
    if let Some(status) = own {
        begun.end(kv_authz::audit::Finish::with_status(201));
        let answer = json!({
            "kind": path.served().kind(), "apiVersion": path.served().api_version(),
            "metadata": {"creationTimestamp": null}, "spec": {}, "status": status,
        });
        return Ok(Answer::json(201, answer.to_string()));
    }
    let plan = Plan {
        goal: found.goal.clone(),
        query,
        reach: Reach::AsAsked,
        mask: false,
        accept: Accept::default(),
        body: Some((wanted.body.media_type.clone(), wanted.body.bytes.clone())),
        native: true,
        task: None,
        identity,
        _stream: None,
    };
    effect::effect(caller, Work { connection: found.connection, plan, begun }).await
}

fn read(body: &Body) -> Result<Review, Failure> {
    let malformed = || Failure::invalid("malformed_body", "The body is not a review, which has a `spec`.");
    match body.media_type.as_str() {
        "application/json" => serde_json::from_slice(&body.bytes).map_err(|_| malformed()),
        body::PROTOBUF => {
            let value = protobuf::read(&body.bytes).map_err(|_| malformed())?;
            serde_json::from_value(value).map_err(|_| malformed())
        }
        _ => Err(Failure::Invalid {
            status: 415,
            code: "unsupported_media_type",
            detail: "Send the review as `application/json`.".into(),
        }),
    }
}

/// What KubeVision itself answers; `None` where it allows it, and the cluster is to be asked.
fn may(
    caller: &Caller,
    view: &View,
    connection: &Connection,
    around: &KubernetesTarget,
    asked: &Attributes,
) -> Option<Value> {
    let targets = match targets(connection, around, asked) {
        Some(targets) => targets,
        None => return Some(refused("KubeVision knows no such verb, resource or part here")),
    };
    let app = caller.app();
    let denied = targets
        .iter()
        .find_map(|target| authorize_kubernetes(&view.principal, target, app.policy(), app.clock.now()).err());
    let missing_all =
        asked.resource == "*" && view.principal.owner().is_some_and(|owner| !owner.role.reaches_everything());
    match denied {
        Some(Denied::Forbidden { missing }) => Some(refused(&format!("KubeVision: your role does not hold {missing}"))),
        Some(_) => Some(refused("KubeVision: this is not assigned to you")),
        None if missing_all => Some(refused("KubeVision: your role does not hold *:*")),
        None => None,
    }
}

fn refused(reason: &str) -> Value {
    json!({"allowed": false, "denied": true, "reason": reason})
}

fn may_read(path: &Path) -> Option<Value> {
    let document = NativePath::parse(path.path.trim_start_matches('/'));
    match document {
        Ok(NativePath::Document(_)) if path.verb == "get" => None,
        _ => Some(refused("KubeVision passes on nothing outside the resources but what the cluster serves")),
    }
}

/// What the rules are asked about; `None` for what they do not know.
#[must_use]
fn targets(connection: &Connection, around: &KubernetesTarget, asked: &Attributes) -> Option<Vec<KubernetesTarget>> {
    let asked_for = |word: &str| asked.verb == word || asked.verb == "*";
    let verbs = KubernetesVerb::WORDS.into_iter().filter(|(word, _)| asked_for(word)).map(|(_, verb)| verb);
    let part = match asked.subresource.as_str() {
        "" => None,
        name => Some(Subresource::parse(name)?),
    };
    let namespace = Some(asked.namespace.clone()).filter(|namespace| !namespace.is_empty());
    let served =
        Group::parse(&asked.group).ok().zip(Plural::parse(&asked.resource).ok()).and_then(|(group, plural)| {
            connection.known(|discovery| {
                discovery
                    .all()
                    .iter()
                    .find(|served| *served.group() == group && *served.plural() == plural)
                    .map(crate::cluster::Served::namespaced)
            })
        });
    let namespaced = served.unwrap_or(namespace.is_some());
    let targets: Vec<KubernetesTarget> = verbs
        .map(|verb| KubernetesTarget {
            namespace: namespace.clone().filter(|_| namespaced),
            plural: asked.resource.clone(),
            group: asked.group.clone(),
            namespaced,
            // In all namespaces, one object or another: what a list across them would need.
            name: Some(asked.name.clone()).filter(|name| !name.is_empty()),
            subresource: part.clone(),
            verb,
            ..around.clone()
        })
        .collect();
    (!targets.is_empty()).then_some(targets)
}

fn user_info(view: &View) -> Value {
    let Some(owner) = view.principal.owner() else { return json!({"username": "operator"}) };
    json!({"username": owner.name, "uid": owner.id.to_string(), "groups": [owner.role.name()]})
}

/// What the role holds, in the words of `SelfSubjectRulesReview`. The cluster may allow less, which is said.
fn rules(view: &View, around: &KubernetesTarget, spec: &Spec) -> Value {
    let namespace = spec.namespace.as_deref().unwrap_or_default();
    let reaches = |owner: &Owner| owner.reach(around.cluster).is_some_and(|scope| scope.contains(namespace));
    let resource_rules = match view.principal.owner() {
        Some(owner) if reaches(owner) => held(owner),
        Some(_) => Vec::new(),
        None => vec![json!({"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]})],
    };
    json!({
        "resourceRules": resource_rules,
        "nonResourceRules": [{"verbs": ["get"], "nonResourceURLs": ["/api", "/api/*", "/apis", "/apis/*", "/openapi/*", "/version"]}],
        "incomplete": true,
        "evaluationError": "these are KubeVision's rules; the cluster's own may allow less",
    })
}

fn held(owner: &Owner) -> Vec<Value> {
    if owner.role.reaches_everything() {
        return vec![json!({"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]})];
    }
    let kinds: Vec<String> = match &owner.role {
        kv_authz::Role::Custom { grants, .. } => {
            let named = grants.iter().filter_map(|grant| grant.resource().map(str::to_owned));
            let mut named: Vec<String> = named.collect();
            if grants.iter().any(|grant| grant.resource().is_none()) {
                named.push("*".to_owned());
            }
            named.sort();
            named.dedup();
            named
        }
        _ => vec!["*".to_owned()],
    };
    let words = |verb| match verb {
        Verb::Read => &["get", "list", "watch"][..],
        Verb::Write => &["create", "update", "patch"],
        Verb::Delete => &["delete", "deletecollection"],
        _ => &[],
    };
    let mut rules = Vec::new();
    for kind in kinds {
        let resource =
            if kind == "*" { Resource::kubernetes("*", "") } else { Resource::Kubernetes(kind.clone().into()) };
        let holds = |verb| owner.holds(&Permission::new(resource.clone(), verb), Scope::Namespace);
        let verbs: Vec<&str> = [Verb::Read, Verb::Write, Verb::Delete]
            .into_iter()
            .filter(|verb| holds(*verb))
            .flat_map(|verb| words(verb).iter().copied())
            .collect();
        let (plural, group) = kind.split_once('.').unwrap_or((&kind, "*"));
        if !verbs.is_empty() {
            rules.push(json!({"verbs": verbs, "apiGroups": [group], "resources": [plural]}));
        }
    }
    let pods = |verb| owner.holds(&Permission::new(Resource::kubernetes("pods", ""), verb), Scope::Namespace);
    if pods(Verb::Logs) {
        rules.push(json!({"verbs": ["get"], "apiGroups": [""], "resources": ["pods/log"]}));
    }
    if pods(Verb::Exec) {
        rules.push(json!({"verbs": ["get", "create"], "apiGroups": [""], "resources": ["pods/exec", "pods/attach", "pods/portforward"]}));
    }
    rules
}
