//! What is done with a workload from its page: scaled, and restarted.
//!
//! Each is the one call that the API would make; nothing else of the workload is written.

use super::{
    Body, Bytes, Caller, Clusters, Data, Dialog, Failure, Form, HttpRequest, HttpResponse, Kind, KubernetesVerb, MOST,
    Path, Reader, Seen, Shown, StatusCode, Upstreams, Wanted, ask, done_at, html, json, no_query, page, parts, said,
    upstream,
};
use kv_authz::{audit::Target, kubernetes::event};
use maud::Markup;

/// The workload that an address names.
type Named = (String, String, String, String);

/// A kind that can be scaled.
fn scaling(plural: &str) -> Result<Kind, Failure> {
    Kind::of(plural).ok().filter(|kind| kind.scales()).ok_or(Failure::NotFound { what: "workload to scale" })
}

/// A kind that can be restarted.
fn restarting(plural: &str) -> Result<Kind, Failure> {
    Kind::of(plural).ok().filter(|kind| kind.restarts()).ok_or(Failure::NotFound { what: "workload to restart" })
}

fn place(kind: Kind, namespace: &str, name: &str, part: Option<&str>) -> upstream::Place {
    upstream::Place::Ours {
        namespace: Some(namespace.to_owned()),
        resource: kind.plural().to_owned(),
        name: Some(name.to_owned()),
        part: part.map(str::to_owned),
    }
}

fn done(cluster: &str, namespace: &str, kind: Kind, code: &str) -> HttpResponse {
    done_at(&format!("/clusters/{cluster}/namespaces/{namespace}?kind={}", kind.plural()), code)
}

/// The dialog over the page of the workload's namespace.
async fn over(
    caller: &Caller,
    upstreams: &Upstreams,
    request: &HttpRequest,
    (cluster, namespace, kind): (&str, &str, Kind),
    (dialog, status): (&dyn Fn(&Reader) -> Markup, StatusCode),
) -> Result<HttpResponse, Failure> {
    let shown = Shown { kind, token: None };
    let seen = Seen { cluster, namespace, shown: &shown };
    page(caller, upstreams, request, &seen, Some((dialog, status))).await
}

/// Shows the dialog that scales a workload.
///
/// # Errors
/// [`Failure`].
pub async fn ask_to_scale(
    caller: Caller,
    upstreams: Data<Upstreams>,
    request: HttpRequest,
    path: Path<Named>,
) -> Result<HttpResponse, Failure> {
    no_query(&request)?;
    let (cluster, namespace, kind, name) = path.into_inner();
    let kind = scaling(&kind)?;
    let dialog = |reader: &Reader| scale_dialog(reader, &cluster, &namespace, kind, &name, "", None);
    over(&caller, &upstreams, &request, (&cluster, &namespace, kind), (&dialog, StatusCode::OK)).await
}

fn scale_dialog(
    reader: &Reader,
    cluster: &str,
    namespace: &str,
    kind: Kind,
    name: &str,
    typed: &str,
    error: Option<&str>,
) -> Markup {
    let t: &Clusters = &reader.texts.clusters;
    let fields = html! {
        div.field {
            label for="replicas" { (t.replicas) }
            input #replicas name="replicas" type="number" min="0" max=(MOST) required value=(typed) autofocus
                aria-invalid=[error.map(|_| "true")] aria-describedby=[parts::described("replicas", "", error)];
            (parts::below("replicas", "", error))
        }
    };
    Dialog {
        title: &said(t.scale_title, name),
        lead: html! { (t.scale_about) },
        fields,
        action: &format!("/clusters/{cluster}/namespaces/{namespace}/{}/{name}/scale", kind.plural()),
        cancel: &format!("/clusters/{cluster}/namespaces/{namespace}?kind={}", kind.plural()),
        button: t.scale,
        busy: t.scaling,
        danger: false,
    }
    .markup(reader)
}

/// Scales a workload.
///
/// # Errors
/// [`Failure`].
pub async fn scale(
    caller: Caller,
    upstreams: Data<Upstreams>,
    request: HttpRequest,
    path: Path<Named>,
    form: Form,
) -> Result<HttpResponse, Failure> {
    no_query(&request)?;
    form.only(&["replicas"], &[])?;
    let (cluster, namespace, kind, name) = path.into_inner();
    let kind = scaling(&kind)?;
    let typed = form.text("replicas").trim();
    let Some(replicas) = typed.parse::<u32>().ok().filter(|replicas| *replicas <= MOST) else {
        let target =
            Target { cluster: Some(cluster.clone()), namespace: Some(namespace.clone()), ..Target::of(kind.plural()) };
        let bad = || Failure::unprocessable("invalid_replicas", "`replicas` is a number from 0 to 10000.");
        let refused =
            caller.act(event(KubernetesVerb::Patch, None), target.named(&name), async |_| Err::<(), _>(bad())).await;
        if let Err(failure) = refused
            && failure.code() != bad().code()
        {
            return Err(failure);
        }
        let dialog = |reader: &Reader| {
            let error = Some(reader.texts.clusters.bad_replicas);
            scale_dialog(reader, &cluster, &namespace, kind, &name, typed, error)
        };
        let answer = (&dialog as &dyn Fn(&Reader) -> Markup, StatusCode::UNPROCESSABLE_ENTITY);
        return over(&caller, &upstreams, &request, (&cluster, &namespace, kind), answer).await;
    };
    let body = Body {
        bytes: Bytes::from(json!({"spec": {"replicas": replicas}}).to_string()),
        media_type: "application/json".into(),
    };
    let wanted = Wanted {
        cluster: cluster.clone(),
        place: place(kind, &namespace, &name, Some("scale")),
        verb: KubernetesVerb::Patch,
        query: String::new(),
        body,
    };
    ask(&caller, &upstreams, wanted).await?;
    Ok(done(&cluster, &namespace, kind, "scaled"))
}

/// Shows the dialog that restarts a workload.
///
/// # Errors
/// [`Failure`].
pub async fn ask_to_restart(
    caller: Caller,
    upstreams: Data<Upstreams>,
    request: HttpRequest,
    path: Path<Named>,
) -> Result<HttpResponse, Failure> {
    no_query(&request)?;
    let (cluster, namespace, kind, name) = path.into_inner();
    let kind = restarting(&kind)?;
    let dialog = |reader: &Reader| {
        let t = &reader.texts.clusters;
        Dialog {
            title: &said(t.restart_title, &name),
            lead: html! { (t.restart_about) },
            fields: html! {},
            action: &format!("/clusters/{cluster}/namespaces/{namespace}/{}/{name}/restart", kind.plural()),
            cancel: &format!("/clusters/{cluster}/namespaces/{namespace}?kind={}", kind.plural()),
            button: t.restart,
            busy: t.restarting,
            danger: false,
        }
        .markup(reader)
    };
    over(&caller, &upstreams, &request, (&cluster, &namespace, kind), (&dialog, StatusCode::OK)).await
}

/// Restarts a workload.
///
/// # Errors
/// [`Failure`].
pub async fn restart(
    caller: Caller,
    upstreams: Data<Upstreams>,
    request: HttpRequest,
    path: Path<Named>,
    form: Form,
) -> Result<HttpResponse, Failure> {
    no_query(&request)?;
    form.only(&[], &[])?;
    let (cluster, namespace, kind, name) = path.into_inner();
    let kind = restarting(&kind)?;
    let wanted = Wanted {
        cluster: cluster.clone(),
        place: place(kind, &namespace, &name, None),
        verb: KubernetesVerb::Restart,
        query: String::new(),
        body: Body::default(),
    };
    ask(&caller, &upstreams, wanted).await?;
    Ok(done(&cluster, &namespace, kind, "restarted"))
}
