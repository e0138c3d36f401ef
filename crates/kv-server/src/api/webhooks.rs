//! KubeVision as the webhooks of a cluster: `TokenReview` and `SubjectAccessReview`, and the token by which the cluster is
//! known here. What is said is Kubernetes' own API; fields of it that say nothing here are not looked at.

use super::{
    auth::visit,
    input::{Body, query},
};
use crate::{
    admission::Guard,
    app::App,
    caller::Caller,
    cluster::Identity,
    failure::Failure,
    held::hold,
    operations::{
        visit::Means,
        webhooks::{self, Asked, Asker, Attributes, Named, Opinion},
    },
    problem::Problem,
    routes::no_query,
    upstreams::Upstreams,
};
use actix_web::{
    HttpRequest, HttpResponse,
    http::header,
    web::{Data, Path},
};
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReviewSpec};
use kv_authz::audit::{Event, Target};
use kv_keys::Credential;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use std::{collections::BTreeMap, sync::Arc};
use utoipa::ToSchema;

/// A webhook token, shown once.
#[derive(Serialize, ToSchema)]
pub struct WebhookToken {
    /// To be sent by the cluster as `Authorization: Bearer <token>`.
    token: String,
}

/// Make the token by which a cluster is known when it asks about its callers; it takes the place of the one before.
#[utoipa::path(post, path = "/api/v1/clusters/{cluster}/webhook-token", tag = "clusters",
    security(("session" = []), ("api_key" = [])), params(("cluster" = String, Path)),
    responses(
        (status = 201, description = "Shown once.", body = WebhookToken),
        (status = 403, description = "Also `second_factor_code_required`.", body = Problem),
        (status = 404, body = Problem),
    ))]
pub async fn make_token(caller: Caller, request: HttpRequest, path: Path<String>) -> Result<HttpResponse, Failure> {
    let target = Target::of("clusters").named(&*path);
    caller.about(Event::ClusterChange, target.clone());
    no_query(&request)?;
    let token = caller
        .act(Event::ClusterChange, target, async |view| webhooks::make_webhook_token(&caller.acting(view), &path).await)
        .await?;
    Ok(HttpResponse::Created()
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .json(WebhookToken { token: token.expose_secret().to_owned() }))
}

/// Take a cluster's webhook token away.
#[utoipa::path(delete, path = "/api/v1/clusters/{cluster}/webhook-token", tag = "clusters",
    security(("session" = []), ("api_key" = [])), params(("cluster" = String, Path)),
    responses((status = 204), (status = 403, body = Problem), (status = 404, body = Problem)))]
pub async fn remove_token(caller: Caller, request: HttpRequest, path: Path<String>) -> Result<HttpResponse, Failure> {
    let target = Target::of("clusters").named(&*path);
    caller.about(Event::ClusterChange, target.clone());
    no_query(&request)?;
    caller
        .act(Event::ClusterChange, target, async |view| {
            webhooks::remove_webhook_token(&caller.acting(view), &path).await
        })
        .await?;
    Ok(HttpResponse::NoContent().finish())
}

/// A question as Kubernetes writes it, with more fields than are looked at.
#[derive(Deserialize)]
struct Review<T> {
    #[serde(rename = "apiVersion")]
    api_version: String,
    kind: String,
    spec: T,
}

#[derive(Deserialize)]
struct TokenReviewSpec {
    #[serde(default)]
    token: SecretString,
}

const TOKEN_REVIEW: (&str, &str) = ("authentication.k8s.io/v1", "TokenReview");
const ACCESS_REVIEW: (&str, &str) = ("authorization.k8s.io/v1", "SubjectAccessReview");

/// Say whose key a token is (`authentication.k8s.io/v1`). For the cluster itself, with its webhook token.
#[utoipa::path(post, path = "/api/v1/clusters/{cluster}/webhooks/token-review", tag = "webhooks", security(("webhook" = [])),
    request_body(content = Value, description = "A `TokenReview`."), params(("cluster" = String, Path)),
    responses((status = 200, description = "The `TokenReview` with its status.", body = Value),
        (status = 400, body = Problem), (status = 401, body = Problem), (status = 429, body = Problem)))]
pub async fn review_token(
    app: Data<Arc<App>>,
    request: HttpRequest,
    path: Path<String>,
    body: Body,
) -> Result<HttpResponse, Failure> {
    let visit = visit(&app, &request, Means::Tokens)?;
    let (asker, asking) = Asker::known_by(&visit, &path, webhook_token(&request, &app)).await?;
    let spec: TokenReviewSpec = read(&request, &body, TOKEN_REVIEW)?;
    let status = match webhooks::review_token(&visit, &asker, &spec.token).await? {
        None => json!({"authenticated": false}),
        Some(Named { identity, user }) => json!({
            "authenticated": true,
            "user": {
                "username": identity.user(),
                "uid": user.to_string(),
                "groups": identity.groups(),
                "extra": identity.extra().iter().map(|(name, value)| (*name, [value])).collect::<BTreeMap<_, _>>(),
            },
        }),
    };
    answer(asking, TOKEN_REVIEW, status)
}

/// Say whether a user may do something in the cluster (`authorization.k8s.io/v1`). For the cluster itself, with its webhook
/// token. Of users that are not named by a key of KubeVision's it has no opinion.
#[utoipa::path(post, path = "/api/v1/clusters/{cluster}/webhooks/subject-access-review", tag = "webhooks", security(("webhook" = [])),
    request_body(content = Value, description = "A `SubjectAccessReview`."), params(("cluster" = String, Path)),
    responses((status = 200, description = "The `SubjectAccessReview` with its status.", body = Value),
        (status = 400, body = Problem), (status = 401, body = Problem), (status = 429, body = Problem)))]
pub async fn review_access(
    app: Data<Arc<App>>,
    upstreams: Data<Upstreams>,
    request: HttpRequest,
    path: Path<String>,
    body: Body,
) -> Result<HttpResponse, Failure> {
    let visit = visit(&app, &request, Means::Tokens)?;
    let (asker, asking) = Asker::known_by(&visit, &path, webhook_token(&request, &app)).await?;
    let spec: SubjectAccessReviewSpec = read(&request, &body, ACCESS_REVIEW)?;
    let opinion = webhooks::review_access(&visit, &upstreams, (&asker, &asking), &asked(spec)).await?;
    let status = match opinion {
        Opinion::Allowed => json!({"allowed": true}),
        Opinion::Denied(reason) => json!({"allowed": false, "denied": true, "reason": format!("KubeVision: {reason}")}),
        Opinion::None(reason) => json!({"allowed": false, "denied": false, "reason": format!("KubeVision: {reason}")}),
    };
    answer(asking, ACCESS_REVIEW, status)
}

fn asked(spec: SubjectAccessReviewSpec) -> Asked {
    let keys = spec.extra.and_then(|mut extra| extra.remove(Identity::KEY_ID));
    Asked {
        user: spec.user.unwrap_or_default(),
        uid: spec.uid.unwrap_or_default(),
        // Two keys are none: one of them alone would be a guess.
        key: keys.map(|keys| if keys.len() == 1 { keys.concat() } else { String::new() }),
        resource: spec.resource_attributes.map(attributes),
        address: spec
            .non_resource_attributes
            .map(|about| (about.path.unwrap_or_default(), about.verb.unwrap_or_default())),
    }
}

fn attributes(about: ResourceAttributes) -> Attributes {
    Attributes {
        verb: about.verb.unwrap_or_default(),
        group: about.group.unwrap_or_default(),
        resource: about.resource.unwrap_or_default(),
        subresource: about.subresource.unwrap_or_default(),
        namespace: about.namespace.unwrap_or_default(),
        name: about.name.unwrap_or_default(),
    }
}

/// What an API server adds to the address: how long it will wait.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Patience {
    #[serde(rename = "timeout")]
    _timeout: Option<String>,
}

/// What a question of this version and kind asks.
fn read<T: DeserializeOwned>(request: &HttpRequest, body: &Body, (version, kind): (&str, &str)) -> Result<T, Failure> {
    query::<Patience>(request)?;
    let review: Review<T> = body.json()?;
    if (review.api_version.as_str(), review.kind.as_str()) == (version, kind) {
        return Ok(review.spec);
    }
    Err(Failure::invalid("malformed_body", format!("Send a `{kind}` of `{version}`.")))
}

/// The answer to a question, if the token that it came with is still the cluster's.
fn answer(asking: Guard, (version, kind): (&str, &str), status: Value) -> Result<HttpResponse, Failure> {
    if let Some(why) = asking.interruption() {
        return Err(why.into());
    }
    let answer = HttpResponse::Ok().json(json!({"apiVersion": version, "kind": kind, "status": status}));
    Ok(answer.map_body(|_, body| hold(body, asking, None, false)))
}

/// The bearer token of a request, if it has exactly one `Authorization` field and that is one.
fn webhook_token(request: &HttpRequest, app: &App) -> Option<SecretString> {
    let mut values = request.headers().get_all(header::AUTHORIZATION);
    let value = values.next().filter(|_| values.next().is_none())?;
    match Credential::parse(value.as_bytes(), app.config.environment) {
        Ok(Credential::Bearer(token)) => Some(SecretString::from(token.expose())),
        Ok(Credential::ApiKey(_)) | Err(_) => None,
    }
}
