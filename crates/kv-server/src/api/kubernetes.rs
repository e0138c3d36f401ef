//! Kubernetes objects by REST: `/clusters/{cluster}/[namespaces/{namespace}/]{resource}[/{name}[/{part}]]`.

use super::{flowing::Flowing, input::Body};
use crate::{
    caller::Caller,
    failure::Failure,
    held::HasLastWords,
    operations::kubernetes::{Answer, AnswerBody, Place, Wanted, reach_cluster, workload_verb},
    upstreams::Upstreams,
};
use actix_web::{
    HttpRequest, HttpResponse,
    http::{Method, StatusCode},
    web::{Data, Path},
};
use kv_authz::{
    audit::Target,
    kubernetes::{KubernetesVerb, event},
};

/// The parameter by which the deletion of a whole collection is asked for: leaving out a name is not enough.
const WHOLE_COLLECTION: &str = "deletecollection=true";

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
    reach(caller, &upstreams, &request, body, (cluster, Some(namespace), resource, None, None)).await
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
    reach(caller, &upstreams, &request, body, (cluster, Some(namespace), resource, Some(name), None)).await
}

/// A part of an object in a namespace.
///
/// # Errors
/// [`Failure`].
pub async fn namespaced_part(
    caller: Caller,
    upstreams: Data<Upstreams>,
    request: HttpRequest,
    path: Path<(String, String, String, String, String)>,
    body: Body,
) -> Result<HttpResponse, Failure> {
    let (cluster, namespace, resource, name, part) = path.into_inner();
    reach(caller, &upstreams, &request, body, (cluster, Some(namespace), resource, Some(name), Some(part))).await
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
    reach(caller, &upstreams, &request, body, (cluster, None, resource, None, None)).await
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
    reach(caller, &upstreams, &request, body, (cluster, None, resource, Some(name), None)).await
}

/// A part of an object in no namespace.
///
/// # Errors
/// [`Failure`].
pub async fn cluster_part(
    caller: Caller,
    upstreams: Data<Upstreams>,
    request: HttpRequest,
    path: Path<(String, String, String, String)>,
    body: Body,
) -> Result<HttpResponse, Failure> {
    let (cluster, resource, name, part) = path.into_inner();
    reach(caller, &upstreams, &request, body, (cluster, None, resource, Some(name), Some(part))).await
}

type Segments = (String, Option<String>, String, Option<String>, Option<String>);

async fn reach(
    caller: Caller,
    upstreams: &Upstreams,
    request: &HttpRequest,
    body: Body,
    (cluster, namespace, resource, name, part): Segments,
) -> Result<HttpResponse, Failure> {
    refuse_impersonation(request)?;
    let mut query = request.query_string().to_owned();
    let of_workload = part.as_deref().and_then(|part| workload_verb(&resource, part));
    let verb = match (request.method(), &name) {
        _ if let Some(verb) = of_workload => verb,
        (&Method::GET, Some(_)) => KubernetesVerb::Get,
        (&Method::GET, None) => KubernetesVerb::List,
        (&Method::POST, _) => KubernetesVerb::Create,
        (&Method::PUT, _) => KubernetesVerb::Update,
        (&Method::PATCH, _) => KubernetesVerb::Patch,
        (_, Some(_)) => KubernetesVerb::Delete,
        (_, None) => {
            query = query.split('&').filter(|pair| *pair != WHOLE_COLLECTION).collect::<Vec<_>>().join("&");
            KubernetesVerb::DeleteCollection
        }
    };
    let refuse = |status, code, detail| {
        let target = Target { cluster: Some(cluster.clone()), ..Target::of(&resource) };
        caller.about(event(verb, None), target);
        Err(Failure::Invalid { status, code, detail })
    };
    if of_workload.is_some() {
        let method = if verb == KubernetesVerb::History { Method::GET } else { Method::POST };
        if *request.method() != method {
            return refuse(405, "method_not_allowed", format!("This is asked for with {method} only."));
        }
    }
    if verb == KubernetesVerb::DeleteCollection && query == request.query_string() {
        let detail = format!("Name the object to delete. To delete all there are, say so: `?{WHOLE_COLLECTION}`.");
        return refuse(400, "name_missing", detail);
    }
    // It is no part of the object, but something that is done with it.
    let part = part.filter(|_| of_workload.is_none());
    let place = Place::Ours { namespace, resource, name, part };
    respond(&caller, reach_cluster(&caller, upstreams, Wanted { cluster, place, verb, query, body }).await?)
}

/// The answer of a cluster as ours, to the caller it is for.
///
/// # Errors
/// [`Failure::Internal`] for a status that is none.
pub(super) fn respond(caller: &Caller, answer: Answer) -> Result<HttpResponse, Failure> {
    let status = StatusCode::from_u16(answer.status)
        .map_err(|_| Failure::Internal { step: "reading a cluster's status", source: None })?;
    let mut response = HttpResponse::build(status);
    response.content_type(answer.content_type.as_ref());
    Ok(match answer.body {
        AnswerBody::Whole(body) => response.body(body),
        AnswerBody::Flowing { pieces, last_words } => {
            let has_last_words = last_words.is_some();
            let mut response = response.body(Flowing::new(pieces, last_words, caller.guard().clone()));
            if has_last_words {
                response.extensions_mut().insert(HasLastWords);
            }
            response
        }
    })
}

/// Whom a request acts as is decided here and nowhere else.
pub(super) fn refuse_impersonation(request: &HttpRequest) -> Result<(), Failure> {
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
                    (status = 409, body = crate::problem::Problem),
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
        delete_collection_namespaced: delete "/api/v1/clusters/{cluster}/namespaces/{namespace}/{resource}",
            "Delete all objects of a kind in a namespace, if asked for with `deletecollection=true`.",
            ["cluster", "namespace", "resource"];
        get_part_namespaced: get "/api/v1/clusters/{cluster}/namespaces/{namespace}/{resource}/{name}/{part}",
            "Read a part of an object: `scale`, `status`, `log`; or the `history` of a Deployment, StatefulSet or DaemonSet: \
             `{\"items\": [{\"revision\": 2, \"created_at\": \"…\", \"change_cause\": null, \"current\": true, \"images\": [\"…\"]}], \
             \"next_cursor\": null}`, the newest first.",
            ["cluster", "namespace", "resource", "name", "part"];
        create_part_namespaced: post "/api/v1/clusters/{cluster}/namespaces/{namespace}/{resource}/{name}/{part}",
            "Create a part of an object: `eviction`, `token`; or `restart` a Deployment, StatefulSet or DaemonSet, or do its \
             `rollback` to a revision of its `history`: `{\"revision\": 2}`, or `{}` for the one before. Both answer with the \
             workload.",
            ["cluster", "namespace", "resource", "name", "part"];
        replace_part_namespaced: put "/api/v1/clusters/{cluster}/namespaces/{namespace}/{resource}/{name}/{part}",
            "Replace a part of an object.", ["cluster", "namespace", "resource", "name", "part"];
        patch_part_namespaced: patch "/api/v1/clusters/{cluster}/namespaces/{namespace}/{resource}/{name}/{part}",
            "Change a part of an object: `scale`, `status`.", ["cluster", "namespace", "resource", "name", "part"];
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
        delete_collection_clusterwide: delete "/api/v1/clusters/{cluster}/{resource}",
            "Delete all objects of a kind, if asked for with `deletecollection=true`.", ["cluster", "resource"];
        get_part_clusterwide: get "/api/v1/clusters/{cluster}/{resource}/{name}/{part}",
            "Read a part of an object that lives in no namespace.", ["cluster", "resource", "name", "part"];
        create_part_clusterwide: post "/api/v1/clusters/{cluster}/{resource}/{name}/{part}",
            "Create a part of an object that lives in no namespace.", ["cluster", "resource", "name", "part"];
        replace_part_clusterwide: put "/api/v1/clusters/{cluster}/{resource}/{name}/{part}",
            "Replace a part of an object that lives in no namespace.", ["cluster", "resource", "name", "part"];
        patch_part_clusterwide: patch "/api/v1/clusters/{cluster}/{resource}/{name}/{part}",
            "Change a part of an object that lives in no namespace.", ["cluster", "resource", "name", "part"];
    }
}
