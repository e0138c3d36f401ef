//! Clusters: those assigned to the caller, registered, changed, removed.

use super::{
    List,
    input::{Body, reached_at, written},
};
use crate::{
    caller::Caller,
    cluster::{AccessError, ClusterAccess, KubeconfigSource},
    failure::Failure,
    operations::{
        add_cluster, change_cluster, get_kubeconfig, list_clusters, remove_cluster,
        show_cluster::{self, Health},
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
use kv_authz::{
    action::AddCluster,
    audit::{Event, Target},
};
use kv_store::ClusterRecord;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A cluster.
#[derive(Debug, Serialize, ToSchema)]
pub struct Cluster {
    /// Its id.
    id: String,
    /// Its name.
    name: String,
    /// When it was registered.
    created_at: String,
    /// Whether calls to it name the caller by impersonation.
    impersonate: bool,
}

impl From<&ClusterRecord> for Cluster {
    fn from(cluster: &ClusterRecord) -> Self {
        Self {
            id: cluster.id.to_string(),
            name: cluster.name.clone(),
            created_at: written(cluster.created_at),
            impersonate: cluster.impersonate,
        }
    }
}

/// A cluster, and how it is.
#[derive(Debug, Serialize, ToSchema)]
pub struct ClusterSeen {
    /// What is known of it.
    #[serde(flatten)]
    cluster: Cluster,
    /// `healthy` if it answers to its credentials, otherwise `unhealthy`.
    health: &'static str,
    /// The version of Kubernetes, as it says; null unless it is healthy.
    version: Option<String>,
    /// Why it is not healthy.
    problem: Option<ClusterProblem>,
}

/// Why a cluster is not healthy.
#[derive(Debug, Serialize, ToSchema)]
pub struct ClusterProblem {
    /// The code that requests to it are answered with.
    code: &'static str,
    /// The same in a sentence.
    detail: String,
}

impl ClusterSeen {
    fn of(cluster: &ClusterRecord, health: Health) -> Self {
        let cluster = cluster.into();
        match health {
            Health::Healthy { version } => Self { cluster, health: "healthy", version: Some(version), problem: None },
            Health::Unhealthy { code, detail } => {
                let problem = Some(ClusterProblem { code, detail });
                Self { cluster, health: "unhealthy", version: None, problem }
            }
        }
    }
}

/// What registering a cluster takes: a kubeconfig, or the address with a token.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewCluster {
    /// Its name, a DNS label (RFC 1123).
    name: String,
    /// A kubeconfig that runs no program, reads no file and names no proxy.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    kubeconfig: Option<SecretString>,
    /// Which of the kubeconfig's contexts; its current one if absent.
    #[serde(default)]
    context: Option<String>,
    /// Instead of a kubeconfig: the API server's address, `https://…`.
    #[serde(default)]
    server: Option<String>,
    /// With `server`: the certificates to trust, in PEM; the public ones if absent.
    #[serde(default)]
    ca: Option<String>,
    /// With `server`: the token to send.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = Password)]
    token: Option<SecretString>,
    /// Whether calls to it name the caller by impersonation; its account must be allowed to.
    #[serde(default)]
    impersonate: bool,
}

impl NewCluster {
    fn access(&self) -> Result<ClusterAccess, Failure> {
        let refused =
            |error: AccessError| Failure::invalid("invalid_cluster", format!("The cluster is refused: {error}."));
        match (&self.kubeconfig, &self.server, &self.token) {
            (Some(yaml), None, None) if self.ca.is_none() => {
                let yaml = yaml.expose_secret().as_bytes();
                ClusterAccess::from_kubeconfig(yaml, self.context.as_deref(), &KubeconfigSource::Uploaded)
            }
            (None, Some(server), Some(token)) if self.context.is_none() => {
                ClusterAccess::from_parts(server, self.ca.as_deref(), token.clone())
            }
            _ => {
                let rule = "Send either `kubeconfig` (and `context`), or `server` and `token` (and `ca`).";
                return Err(Failure::invalid("invalid_cluster", rule));
            }
        }
        .map_err(refused)
    }
}

/// Register a cluster. What opens it is kept sealed and never given back.
#[utoipa::path(post, path = "/api/v1/clusters", tag = "clusters", request_body = NewCluster,
    security(("session" = []), ("api_key" = [])), responses(
    (status = 201, body = Cluster),
    (status = 400, description = "`invalid_cluster`: what is refused in it is named.", body = Problem),
    (status = 403, body = Problem),
    (status = 409, description = "`name_taken`.", body = Problem),
    (status = 422, description = "`invalid_name`, or an address that the operator has not allowed.", body = Problem),
))]
pub async fn add(caller: Caller, request: HttpRequest, body: Body) -> Result<HttpResponse, Failure> {
    caller.about(Event::ClusterAdd, Target::of("clusters"));
    no_query(&request)?;
    let new: NewCluster = body.json()?;
    let made = caller
        .act(Event::ClusterAdd, Target::of("clusters"), async |view| {
            // Who may not register any, learns nothing of what would be wrong with this one.
            let acting = caller.acting(view);
            acting.authorize::<AddCluster>(Target::of("clusters"))?;
            add_cluster::add_cluster(&acting, &new.name, &new.access()?, new.impersonate).await
        })
        .await?;
    Ok(HttpResponse::Created().json(Cluster::from(&made)))
}

/// What of a cluster can be changed.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ClusterChange {
    /// Whether calls to it name the caller by impersonation.
    impersonate: bool,
}

/// Change how a cluster is called: whether it is told by impersonation who the caller is.
#[utoipa::path(patch, path = "/api/v1/clusters/{cluster}", tag = "clusters", request_body = ClusterChange,
    security(("session" = []), ("api_key" = [])), params(("cluster" = String, Path)),
    responses(
        (status = 200, body = Cluster),
        (status = 403, description = "Also `second_factor_code_required`.", body = Problem),
        (status = 404, body = Problem),
    ))]
pub async fn change(
    caller: Caller,
    request: HttpRequest,
    path: Path<String>,
    body: Body,
) -> Result<HttpResponse, Failure> {
    let target = Target::of("clusters").named(&*path);
    caller.about(Event::ClusterChange, target.clone());
    no_query(&request)?;
    let wanted: ClusterChange = body.json()?;
    let changed = caller
        .act(Event::ClusterChange, target, async |view| {
            change_cluster::change_cluster(&caller.acting(view), &path, wanted.impersonate).await
        })
        .await?;
    Ok(HttpResponse::Ok().json(Cluster::from(&changed)))
}

/// Remove a cluster, with every assignment to it. What is under way there ends; what runs there runs on.
#[utoipa::path(delete, path = "/api/v1/clusters/{cluster}", tag = "clusters",
    security(("session" = []), ("api_key" = [])), params(("cluster" = String, Path)),
    responses(
        (status = 204),
        (status = 403, description = "Also `second_factor_code_required`.", body = Problem),
        (status = 404, body = Problem),
    ))]
pub async fn remove(caller: Caller, request: HttpRequest, path: Path<String>) -> Result<HttpResponse, Failure> {
    let target = Target::of("clusters").named(&*path);
    caller.about(Event::ClusterRemove, target.clone());
    no_query(&request)?;
    caller
        .act(Event::ClusterRemove, target, async |view| {
            remove_cluster::remove_cluster(&caller.acting(view), &path).await
        })
        .await?;
    Ok(HttpResponse::NoContent().finish())
}

/// List the clusters assigned to you.
#[utoipa::path(get, path = "/api/v1/clusters", tag = "clusters", security(("session" = []), ("api_key" = [])),
    responses((status = 200, body = List<Cluster>), (status = 401, body = Problem)))]
pub async fn list(caller: Caller, request: HttpRequest) -> Result<HttpResponse, Failure> {
    caller.about(Event::ClusterList, Target::of("clusters"));
    no_query(&request)?;
    let app = caller.app();
    let items = caller
        .observe(Event::ClusterList, Target::of("clusters"), async |view| {
            Ok(list_clusters::list_clusters(view, app.policy(), app.clock.now())?
                .into_iter()
                .map(Cluster::from)
                .collect())
        })
        .await?;
    Ok(HttpResponse::Ok().json(List { items, next_cursor: None }))
}

/// Look at a cluster assigned to you. It is asked for its version, and has three seconds to answer.
#[utoipa::path(get, path = "/api/v1/clusters/{cluster}", tag = "clusters", security(("session" = []), ("api_key" = [])),
    params(("cluster" = String, Path)),
    responses((status = 200, body = ClusterSeen), (status = 404, body = Problem)))]
pub async fn show(
    caller: Caller,
    upstreams: Data<Upstreams>,
    request: HttpRequest,
    path: Path<String>,
) -> Result<HttpResponse, Failure> {
    caller.about(Event::ClusterShow, Target::of("clusters").named(&*path));
    no_query(&request)?;
    let (cluster, health) = show_cluster::show_cluster(&caller, &upstreams, &path).await?;
    Ok(HttpResponse::Ok().json(ClusterSeen::of(&cluster, health)))
}

/// Get a kubeconfig for a cluster assigned to you. It holds no secret: kubectl takes your API key from
/// `KUBEVISION_API_KEY`.
#[utoipa::path(get, path = "/api/v1/clusters/{cluster}/kubeconfig", tag = "clusters",
    security(("session" = []), ("api_key" = [])), params(("cluster" = String, Path)),
    responses(
        (status = 200, body = String, content_type = "application/yaml"),
        (status = 400, description = "`unknown_public_url`: neither setting nor request says how clients reach the server.",
            body = Problem),
        (status = 404, body = Problem),
    ))]
pub async fn kubeconfig(caller: Caller, request: HttpRequest, path: Path<String>) -> Result<HttpResponse, Failure> {
    let target = Target::of("clusters").named(&*path);
    caller.about(Event::ClusterKubeconfig, target.clone());
    no_query(&request)?;
    let server = caller.app().config.public_url.clone().or_else(|| reached_at(&request));
    let yaml = caller
        .observe(Event::ClusterKubeconfig, target, async |view| {
            get_kubeconfig::get_kubeconfig(&caller.acting(view), &view.clusters, &path, server.as_ref()).await
        })
        .await?;
    Ok(HttpResponse::Ok()
        .content_type("application/yaml")
        .insert_header((header::CONTENT_DISPOSITION, format!("attachment; filename=\"{path}.kubeconfig\"")))
        .body(yaml))
}
