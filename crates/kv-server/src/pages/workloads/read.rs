//! What a cluster says: lists and objects, read as the reader may see them.
//!
//! Nothing is kept, and nothing of it is taken for more than text and numbers.

use super::place::Space;
use crate::{
    api::input::Body,
    caller::Caller,
    failure::Failure,
    operations::kubernetes::{AnswerBody, Piece, Place, Wanted, reach_cluster},
    upstreams::Upstreams,
};
use actix_web::{http::StatusCode, web::Bytes};
use kv_authz::kubernetes::KubernetesVerb;
use serde_json::Value;

/// Objects on a page.
const A_PAGE: u32 = 50;

/// What a cluster answers, whole.
pub(super) async fn ask(caller: &Caller, upstreams: &Upstreams, wanted: Wanted) -> Result<Value, Failure> {
    let answer = reach_cluster(caller, upstreams, wanted).await?;
    let bytes = match answer.body {
        AnswerBody::Whole(bytes) => bytes,
        AnswerBody::Flowing { mut pieces, .. } => {
            let mut bytes = Vec::new();
            loop {
                match pieces.next().await {
                    Some(Piece::Data(piece)) => bytes.extend_from_slice(&piece),
                    Some(Piece::End) => break Bytes::from(bytes),
                    None => return Err(broken_off()),
                }
            }
        }
    };
    serde_json::from_slice(&bytes).map_err(|_| broken_off())
}

fn broken_off() -> Failure {
    let detail = "The cluster's answer broke off. Try again.".into();
    Failure::Upstream { status: 502, code: "cluster_unreachable", detail, source: None }
}

/// A page of a list.
pub(super) async fn list(
    caller: &Caller,
    upstreams: &Upstreams,
    cluster: &str,
    (namespace, resource): (Option<&str>, &str),
    token: Option<&str>,
) -> Result<Value, Failure> {
    let mut pairs = form_urlencoded::Serializer::new(format!("limit={A_PAGE}"));
    if let Some(token) = token {
        pairs.append_pair("continue", token);
    }
    let place =
        Place::Ours { namespace: namespace.map(str::to_owned), resource: resource.to_owned(), name: None, part: None };
    let query = pairs.finish();
    let wanted =
        Wanted { cluster: cluster.to_owned(), place, verb: KubernetesVerb::List, query, body: Body::default() };
    ask(caller, upstreams, wanted).await
}

/// Asks whether there is a namespace. A cluster that does not tell us is believed to have it.
///
/// # Errors
/// [`Failure`]: 404 where the cluster says that there is none.
pub(super) async fn is_there(caller: &Caller, upstreams: &Upstreams, space: &Space) -> Result<(), Failure> {
    let (cluster, place) = (space.cluster.clone(), space.itself());
    let wanted = Wanted { cluster, place, verb: KubernetesVerb::Get, query: String::new(), body: Body::default() };
    match ask(caller, upstreams, wanted).await {
        Ok(_) | Err(Failure::ClusterDenied { .. } | Failure::Upstream { .. }) => Ok(()),
        Err(failure) if failure.status() == 404 => Err(Failure::NotFound { what: "namespace" }),
        Err(failure) => Err(failure),
    }
}

/// What went wrong at the cluster is said on the page; everything else is a failure of the page.
pub(super) fn unanswered(result: Result<Value, Failure>) -> Result<(Value, Option<String>, StatusCode), Failure> {
    match result {
        Ok(list) => Ok((list, None, StatusCode::OK)),
        Err(Failure::Upstream { detail, status, .. }) => {
            Ok((Value::Null, Some(detail), StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY)))
        }
        Err(failure) => Err(failure),
    }
}

/// The objects of a list.
pub(super) fn items(list: &Value) -> &[Value] {
    list["items"].as_array().map_or(&[], Vec::as_slice)
}

/// A text in an object; empty where it has none.
pub(super) fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or("")
}

/// A number in an object; 0 where it has none.
pub(super) fn number(object: &Value, pointer: &str) -> u64 {
    object.pointer(pointer).and_then(Value::as_u64).unwrap_or(0)
}
