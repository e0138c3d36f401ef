//! The clusters assigned to the caller.

use super::{List, input::written};
use crate::{caller::Caller, failure::Failure, operations::list_clusters, problem::Problem, routes::no_query};
use actix_web::{HttpRequest, HttpResponse, web::Path};
use kv_authz::audit::{Event, Target};
use kv_store::ClusterRecord;
use serde::Serialize;
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
}

impl From<&ClusterRecord> for Cluster {
    fn from(cluster: &ClusterRecord) -> Self {
        Self { id: cluster.id.to_string(), name: cluster.name.clone(), created_at: written(cluster.created_at) }
    }
}

/// List the clusters assigned to you.
#[utoipa::path(get, path = "/api/v1/clusters", tag = "clusters", security(("session" = []), ("api_key" = [])),
    responses((status = 200, body = List<Cluster>), (status = 401, body = Problem)))]
pub async fn list(caller: Caller, request: HttpRequest) -> Result<HttpResponse, Failure> {
    caller.about(Event::ClusterList, Target::of("clusters"));
    no_query(&request)?;
    let policy = caller.app().policy();
    let items = caller
        .observe(Event::ClusterList, Target::of("clusters"), async |view| {
            Ok(list_clusters::list_clusters(view, policy)?.into_iter().map(Cluster::from).collect())
        })
        .await?;
    Ok(HttpResponse::Ok().json(List { items, next_cursor: None }))
}

/// Look at a cluster assigned to you.
#[utoipa::path(get, path = "/api/v1/clusters/{cluster}", tag = "clusters", security(("session" = []), ("api_key" = [])),
    params(("cluster" = String, Path)),
    responses((status = 200, body = Cluster), (status = 404, body = Problem)))]
pub async fn show(caller: Caller, request: HttpRequest, path: Path<String>) -> Result<HttpResponse, Failure> {
    let target = Target::of("clusters").named(&*path);
    caller.about(Event::ClusterShow, target.clone());
    no_query(&request)?;
    let policy = caller.app().policy();
    let cluster = caller
        .observe(Event::ClusterShow, target, async |view| {
            list_clusters::show_cluster(view, &path, policy).map(Cluster::from)
        })
        .await?;
    Ok(HttpResponse::Ok().json(cluster))
}
