//! Kubernetes objects by REST: `/clusters/{cluster}/[namespaces/{namespace}/]{resource}[/{name}]`.

use super::input::Body;
use crate::{
    caller::Caller,
    failure::Failure,
    operations::reach_cluster::{Wanted, reach_cluster},
    upstreams::Upstreams,
};
use actix_web::{HttpRequest, HttpResponse, http::Method, web::Data, web::Path};
use kv_authz::kubernetes::KubernetesVerb;

/// A collection in a namespace.
///
/// # Errors
/// [`Failure`].
pub async fn namespaced_collection(
    caller: Caller,
    upstreams: Data<Upstreams>,
    request: HttpRequest,
    path: Path<(String, String, String)>,
    body: Body,
) -> Result<HttpResponse, Failure> {
    let (cluster, namespace, resource) = path.into_inner();
    reach(caller, &upstreams, &request, body, (cluster, Some(namespace), resource, None)).await
}

/// An object in a namespace.
///
/// # Errors
/// [`Failure`].
pub async fn namespaced_object(
    caller: Caller,
    upstreams: Data<Upstreams>,
    request: HttpRequest,
    path: Path<(String, String, String, String)>,
    body: Body,
) -> Result<HttpResponse, Failure> {
    let (cluster, namespace, resource, name) = path.into_inner();
    reach(caller, &upstreams, &request, body, (cluster, Some(namespace), resource, Some(name))).await
}

/// A collection in no namespace, or across all.
///
/// # Errors
/// [`Failure`].
pub async fn cluster_collection(
    caller: Caller,
    upstreams: Data<Upstreams>,
    request: HttpRequest,
    path: Path<(String, String)>,
    body: Body,
) -> Result<HttpResponse, Failure> {
    let (cluster, resource) = path.into_inner();
    reach(caller, &upstreams, &request, body, (cluster, None, resource, None)).await
}

/// An object in no namespace.
///
/// # Errors
/// [`Failure`].
pub async fn cluster_object(
    caller: Caller,
    upstreams: Data<Upstreams>,
    request: HttpRequest,
    path: Path<(String, String, String)>,
    body: Body,
) -> Result<HttpResponse, Failure> {
    let (cluster, resource, name) = path.into_inner();
    reach(caller, &upstreams, &request, body, (cluster, None, resource, Some(name))).await
}

type Segments = (String, Option<String>, String, Option<String>);

async fn reach(
    caller: Caller,
    upstreams: &Upstreams,
    request: &HttpRequest,
    body: Body,
    (cluster, namespace, resource, name): Segments,
) -> Result<HttpResponse, Failure> {
    refuse_impersonation(request)?;
    let verb = match (request.method(), &name) {
        (&Method::GET, Some(_)) => KubernetesVerb::Get,
        (&Method::GET, None) => KubernetesVerb::List,
        (&Method::POST, _) => KubernetesVerb::Create,
        (&Method::PUT, _) => KubernetesVerb::Update,
        (&Method::PATCH, _) => KubernetesVerb::Patch,
        _ => KubernetesVerb::Delete,
    };
    let query = request.query_string().to_owned();
    let wanted = Wanted { cluster, namespace, resource, name, verb, query, body };
    let answer = reach_cluster(&caller, upstreams, wanted).await?;
    let status = actix_web::http::StatusCode::from_u16(answer.status)
        .map_err(|_| Failure::Internal { step: "reading a cluster's status", source: None })?;
    Ok(HttpResponse::build(status).content_type("application/json").body(answer.body))
}

/// Whom a request acts as is decided here and nowhere else.
fn refuse_impersonation(request: &HttpRequest) -> Result<(), Failure> {
    let impersonates = |name: &str| name.replace('_', "-").starts_with("impersonate-");
    if request.headers().keys().any(|name| impersonates(name.as_str())) {
        return Err(Failure::invalid(
            "impersonation_refused",
            "Send no `Impersonate-` field; a key acts as its owner.",
        ));
    }
    Ok(())
}

/// The descriptions of these routes: one handler serves several methods, each is told apart here.
pub mod describe {
    macro_rules! describe {
        ($($name:ident: $method:ident $path:literal, $text:literal, [$($parameter:literal),+];)+) => {$(
            #[doc = $text]
            #[utoipa::path($method, path = $path, tag = "kubernetes",
                security(("session" = []), ("api_key" = [])),
                params($(($parameter = String, Path)),+),
                responses(
                    (status = 200, description = "The cluster's answer, unchanged but for the values of Secrets."),
                    (status = 400, body = crate::problem::Problem),
                    (status = 401, body = crate::problem::Problem),
                    (status = 403, description = "`missing` names the permission.", body = crate::problem::Problem),
                    (status = 404, body = crate::problem::Problem),
                    (status = 502, body = crate::problem::Problem),
                    (status = 504, body = crate::problem::Problem),
                ))]
            #[allow(dead_code, reason = "read by utoipa")]
            pub fn $name() {}
        )+};
    }

    describe! {
        list_namespaced: get "/api/v1/clusters/{cluster}/namespaces/{namespace}/{resource}",
            "List objects of a namespace.", ["cluster", "namespace", "resource"];
        create_namespaced: post "/api/v1/clusters/{cluster}/namespaces/{namespace}/{resource}",
            "Create an object in a namespace.", ["cluster", "namespace", "resource"];
        get_namespaced: get "/api/v1/clusters/{cluster}/namespaces/{namespace}/{resource}/{name}",
            "Read an object of a namespace.", ["cluster", "namespace", "resource", "name"];
        replace_namespaced: put "/api/v1/clusters/{cluster}/namespaces/{namespace}/{resource}/{name}",
            "Replace an object of a namespace.", ["cluster", "namespace", "resource", "name"];
        patch_namespaced: patch "/api/v1/clusters/{cluster}/namespaces/{namespace}/{resource}/{name}",
            "Change an object of a namespace; `application/json` means a merge patch.",
            ["cluster", "namespace", "resource", "name"];
        delete_namespaced: delete "/api/v1/clusters/{cluster}/namespaces/{namespace}/{resource}/{name}",
            "Delete an object of a namespace.", ["cluster", "namespace", "resource", "name"];
        list_clusterwide: get "/api/v1/clusters/{cluster}/{resource}",
            "List objects that live in no namespace, or of all namespaces you have.", ["cluster", "resource"];
        create_clusterwide: post "/api/v1/clusters/{cluster}/{resource}",
            "Create an object that lives in no namespace.", ["cluster", "resource"];
        get_clusterwide: get "/api/v1/clusters/{cluster}/{resource}/{name}",
            "Read an object that lives in no namespace.", ["cluster", "resource", "name"];
        replace_clusterwide: put "/api/v1/clusters/{cluster}/{resource}/{name}",
            "Replace an object that lives in no namespace.", ["cluster", "resource", "name"];
        patch_clusterwide: patch "/api/v1/clusters/{cluster}/{resource}/{name}",
            "Change an object that lives in no namespace.", ["cluster", "resource", "name"];
        delete_clusterwide: delete "/api/v1/clusters/{cluster}/{resource}/{name}",
            "Delete an object that lives in no namespace.", ["cluster", "resource", "name"];
    }
}
