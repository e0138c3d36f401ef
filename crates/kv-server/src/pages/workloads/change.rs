//! What is done with a workload from its page: scaled, and restarted.
//!
//! Each is the one call that the API would make; nothing else of the workload is written.

use super::{
    MOST, Seen, page,
    place::{Act, Workload},
    read::ask,
};
use crate::{
    api::input::Body,
    caller::Caller,
    failure::Failure,
    operations::kubernetes::Wanted,
    pages::{
        form::Form,
        parts::{self, Dialog},
        reader::Reader,
        settings::done_at,
        texts::{Clusters, said},
    },
    routes::no_query,
    upstreams::Upstreams,
};
use actix_web::{
    HttpRequest, HttpResponse,
    http::StatusCode,
    web::{Bytes, Data, Path},
};
use kv_authz::kubernetes::{KubernetesVerb, event};
use maud::{Markup, html};
use serde_json::json;

/// The workload that an address names.
type Named = (String, String, String, String);

/// The dialog over the page of the workload's namespace.
async fn over(
    caller: &Caller,
    upstreams: &Upstreams,
    request: &HttpRequest,
    workload: &Workload,
    (dialog, status): (&dyn Fn(&Reader) -> Markup, StatusCode),
) -> Result<HttpResponse, Failure> {
    let seen = Seen { space: &workload.space, kind: workload.kind, token: None };
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
    let workload = Workload::of(path.into_inner(), Act::Scale)?;
    let dialog = |reader: &Reader| scale_dialog(reader, &workload, "", None);
    over(&caller, &upstreams, &request, &workload, (&dialog, StatusCode::OK)).await
}

fn scale_dialog(reader: &Reader, workload: &Workload, typed: &str, error: Option<&str>) -> Markup {
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
        title: &said(t.scale_title, &workload.name),
        lead: html! { (t.scale_about) },
        fields,
        action: &workload.address(Act::Scale),
        cancel: &workload.page(),
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
    let workload = Workload::of(path.into_inner(), Act::Scale)?;
    let typed = form.text("replicas").trim();
    let Some(replicas) = typed.parse::<u32>().ok().filter(|replicas| *replicas <= MOST) else {
        let bad = || Failure::unprocessable("invalid_replicas", "`replicas` is a number from 0 to 10000.");
        let act = event(KubernetesVerb::Patch, None);
        let refused = caller.act(act, workload.audited(), async |_| Err::<(), _>(bad())).await;
        if let Err(failure) = refused
            && failure.code() != bad().code()
        {
            return Err(failure);
        }
        let dialog = |reader: &Reader| {
            let error = Some(reader.texts.clusters.bad_replicas);
            scale_dialog(reader, &workload, typed, error)
        };
        let answer = (&dialog as &dyn Fn(&Reader) -> Markup, StatusCode::UNPROCESSABLE_ENTITY);
        return over(&caller, &upstreams, &request, &workload, answer).await;
    };
    let body = Body {
        bytes: Bytes::from(json!({"spec": {"replicas": replicas}}).to_string()),
        media_type: "application/json".into(),
    };
    let wanted = Wanted {
        cluster: workload.space.cluster.clone(),
        place: workload.place(Some("scale")),
        verb: KubernetesVerb::Patch,
        query: String::new(),
        body,
    };
    ask(&caller, &upstreams, wanted).await?;
    Ok(done_at(&workload.page(), "scaled"))
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
    let workload = Workload::of(path.into_inner(), Act::Restart)?;
    let dialog = |reader: &Reader| {
        let t = &reader.texts.clusters;
        Dialog {
            title: &said(t.restart_title, &workload.name),
            lead: html! { (t.restart_about) },
            fields: html! {},
            action: &workload.address(Act::Restart),
            cancel: &workload.page(),
            button: t.restart,
            busy: t.restarting,
            danger: false,
        }
        .markup(reader)
    };
    over(&caller, &upstreams, &request, &workload, (&dialog, StatusCode::OK)).await
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
    let workload = Workload::of(path.into_inner(), Act::Restart)?;
    let wanted = Wanted {
        cluster: workload.space.cluster.clone(),
        place: workload.place(None),
        verb: KubernetesVerb::Restart,
        query: String::new(),
        body: Body::default(),
    };
    ask(&caller, &upstreams, wanted).await?;
    Ok(done_at(&workload.page(), "restarted"))
}
