//! The Kubernetes API itself, below a cluster: what kubectl, helm and client libraries speak. A key is their bearer token.
//!
//! Reads the request and hands it on; what it may do, and what of it travels, is decided in `operations/kubernetes`.

use super::{
    input::Body,
    kubernetes::{refuse_impersonation, respond},
};
use crate::{
    caller::Caller,
    cluster::{NativePath, asks_to_watch},
    failure::Failure,
    held::HasLastWords,
    operations::kubernetes::{
        Offer, Place, Tunnel, Wanted, is_review, open_tunnel, reach_cluster, refuse_spdy, review,
    },
    upstreams::Upstreams,
};
use actix_web::{
    FromRequest, HttpRequest, HttpResponse,
    dev::Payload,
    http::{Method, StatusCode, header},
    web::{self, Data, Path},
};
use futures_util::StreamExt;
use kv_authz::kubernetes::KubernetesVerb;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_util::io::{ReaderStream, StreamReader};

/// Bytes on their way to the client of a tunnel.
const ON_THE_WAY: usize = 64 * 1024;

/// Any request to the Kubernetes API of a cluster.
///
/// # Errors
/// [`Failure`], told as a `Status`.
pub async fn any(
    caller: Caller,
    upstreams: Data<Upstreams>,
    request: HttpRequest,
    path: Path<(String, String)>,
    payload: web::Payload,
) -> Result<HttpResponse, Failure> {
    refuse_impersonation(&request)?;
    let (cluster, path) = path.into_inner();
    let path = NativePath::parse(&path).map_err(|error| match error {
        crate::cluster::NativePathError::Unknown => Failure::NotFound { what: "path of the Kubernetes API" },
        error => Failure::invalid("malformed_path", format!("The path is refused: {error}.")),
    })?;
    let verb = verb(&request, &path)?;
    let place = Place::Native { path, accept: field(&request, header::ACCEPT) };
    let query = request.query_string().to_owned();
    let upgrade = field(&request, header::UPGRADE);
    let mut payload = payload.into_inner();
    if upgrade.is_empty() {
        let mut body = Body::from_request(&request, &mut payload).await?;
        // What is not said to be anything is JSON to the Kubernetes API, but for a patch; kubectl's `scale` relies on it.
        if !request.headers().contains_key(header::CONTENT_TYPE) && verb != KubernetesVerb::Patch {
            body.media_type = "application/json".to_owned();
        }
        let asks = matches!(&place, Place::Native { path: NativePath::Object { group, plural, names, .. }, .. }
            if verb == KubernetesVerb::Create && names.name.is_none() && is_review(group.as_str(), plural.as_str()));
        let wanted = Wanted { cluster, place, verb, query, body };
        let answer = match asks {
            true => review(&caller, &upstreams, wanted).await?,
            false => reach_cluster(&caller, &upstreams, wanted).await?,
        };
        return respond(&caller, answer);
    }
    let wanted = Wanted { cluster, place, verb, query, body: Body::default() };
    match upgrade.to_ascii_lowercase().as_str() {
        "websocket" => tunnel(&caller, &upstreams, &request, wanted, payload).await,
        "spdy/3.1" => {
            refuse_spdy(&caller, &upstreams, &wanted).await?;
            Err(Failure::Internal { step: "refusing SPDY", source: None })
        }
        _ => Err(Failure::invalid("upgrade_refused", "A connection can be upgraded to a WebSocket only.")),
    }
}

fn verb(request: &HttpRequest, path: &NativePath) -> Result<KubernetesVerb, Failure> {
    let names = match path {
        NativePath::Object { names, .. } => names,
        NativePath::Document(_) if request.method() == Method::GET => return Ok(KubernetesVerb::Discover),
        NativePath::Document(_) => {
            let detail = "What a cluster serves can be read, and nothing else.".into();
            return Err(Failure::Invalid { status: 405, code: "method_not_allowed", detail });
        }
    };
    Ok(match (request.method(), names.name.is_some()) {
        (&Method::GET, true) => KubernetesVerb::Get,
        (&Method::GET, false) if asks_to_watch(request.query_string()) => KubernetesVerb::Watch,
        (&Method::GET, false) => KubernetesVerb::List,
        (&Method::POST, _) => KubernetesVerb::Create,
        (&Method::PUT, _) => KubernetesVerb::Update,
        (&Method::PATCH, _) => KubernetesVerb::Patch,
        (_, true) => KubernetesVerb::Delete,
        // The Kubernetes API names it so itself; a slash too many does not get here.
        (_, false) => KubernetesVerb::DeleteCollection,
    })
}

/// A field's text; several of one name are one (RFC 9110 §5.3).
fn field(request: &HttpRequest, name: header::HeaderName) -> String {
    let values = request.headers().get_all(name).filter_map(|value| value.to_str().ok());
    values.collect::<Vec<_>>().join(",")
}

/// Switches the client over to a WebSocket (RFC 6455), once the cluster has been.
async fn tunnel(
    caller: &Caller,
    upstreams: &Upstreams,
    request: &HttpRequest,
    wanted: Wanted,
    payload: Payload,
) -> Result<HttpResponse, Failure> {
    let refused = |detail: &str| Failure::invalid("malformed_upgrade", detail);
    let key = request.headers().get(header::SEC_WEBSOCKET_KEY);
    let key = key.ok_or_else(|| refused("The upgrade to a WebSocket has no `Sec-WebSocket-Key`."))?;
    if field(request, header::SEC_WEBSOCKET_VERSION) != "13" || request.method() != Method::GET {
        return Err(refused("A WebSocket is asked for with GET and `Sec-WebSocket-Version: 13`."));
    }
    let part = match &wanted.place {
        Place::Native { path: NativePath::Object { names, .. }, .. } => names.subresource.clone(),
        _ => None,
    };
    let offer = Offer::parse(&field(request, header::SEC_WEBSOCKET_PROTOCOL), part.as_ref())?;
    let accepted = derive_accept_key(key.as_bytes());
    let (ours, theirs) = tokio::io::duplex(ON_THE_WAY);
    let pieces = payload.map(|piece| piece.map_err(std::io::Error::other));
    let client = tokio::io::join(StreamReader::new(pieces), ours);
    match open_tunnel(caller, upstreams, wanted, offer, client).await? {
        Tunnel::Answered(answer) => respond(caller, answer),
        Tunnel::Open(protocol) => {
            let mut response = HttpResponse::build(StatusCode::SWITCHING_PROTOCOLS);
            response
                .upgrade("websocket")
                .insert_header((header::SEC_WEBSOCKET_ACCEPT, accepted))
                .insert_header((header::SEC_WEBSOCKET_PROTOCOL, protocol));
            let mut response = response.streaming(ReaderStream::with_capacity(theirs, 8 * 1024));
            response.extensions_mut().insert(HasLastWords);
            Ok(response)
        }
    }
}

/// The descriptions of this route: it serves every method.
pub mod describe {
    macro_rules! describe {
        ($($name:ident: $method:ident $text:literal;)+) => {$(
            #[doc = $text]
            #[utoipa::path($method, path = "/api/v1/clusters/{cluster}/k8s/{path}", tag = "kubernetes",
                security(("session" = []), ("api_key" = [])),
                params(("cluster" = String, Path), ("path" = String, Path, description = "A path of the Kubernetes API.")),
                responses(
                    (status = 200, description = "The cluster's answer, unchanged but for the values of Secrets."),
                    (status = 101, description = "A WebSocket: exec, attach, portforward."),
                    (status = "default", description = "A `Status` of Kubernetes."),
                ))]
            #[allow(dead_code, reason = "read by utoipa")]
            pub fn $name() {}
        )+};
    }

    describe! {
        native_get: get "The Kubernetes API of a cluster: read, list, watch, logs, exec, what it serves.";
        native_post: post "The Kubernetes API of a cluster: create.";
        native_put: put "The Kubernetes API of a cluster: replace.";
        native_patch: patch "The Kubernetes API of a cluster: change; `application/json` means a merge patch.";
        native_delete: delete "The Kubernetes API of a cluster: delete.";
    }
}
