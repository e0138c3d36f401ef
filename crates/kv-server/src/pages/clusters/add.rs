//! Settings, Clusters: the dialog that registers one, by its kubeconfig, or by its address and a token.
//!
//! What opens a cluster comes in by the form and never out again: not even back to whoever has just sent it.

use super::{
    settings::{SETTINGS, known_to, settings_page},
    target,
};
use crate::{
    caller::Caller,
    cluster::{AccessError, ClusterAccess, KubeconfigSource},
    failure::Failure,
    operations::add_cluster,
    pages::{
        form::Form,
        kept::keep,
        parts::{self, Dialog, Field},
        reader::Reader,
        settings::{code_first, done_at, tick},
        texts::Clusters,
    },
    problem::Problem,
    routes::no_query,
};
use actix_web::{HttpRequest, HttpResponse, ResponseError, http::StatusCode};
use kv_authz::{action::AddCluster, audit::Event};
use maud::{Markup, html};
use secrecy::SecretString;

/// The two ways to a cluster, as the form calls them.
const BY_KUBECONFIG: &str = "kubeconfig";
const BY_TOKEN: &str = "token";
/// What the form sends. The fields of the way that was not chosen are sent as well, and not looked at.
const FIELDS: [&str; 8] = ["name", "by", "kubeconfig", "context", "server", "ca", "token", "impersonate"];
/// What of it may be kept while a code is shown: short, and no secret.
const KEPT: [&str; 5] = ["name", "by", "context", "server", "impersonate"];

/// What is wrong with what was typed.
#[derive(Default)]
struct Wrong {
    name: Option<String>,
    kubeconfig: Option<String>,
    server: Option<String>,
    ca: Option<String>,
    token: Option<String>,
    all: Option<String>,
}

impl Wrong {
    /// What a refusal is about.
    ///
    /// # Errors
    /// The failure itself, where it has a page of its own.
    fn of(failure: Failure, form: &Form, t: &Clusters) -> Result<Self, Failure> {
        let words = Some(Problem::new(&failure, "").detail);
        Ok(match failure.code() {
            "invalid_name" | "name_taken" => Self { name: words, ..Self::default() },
            "invalid_cluster" if form.text("by") == BY_KUBECONFIG => Self { kubeconfig: words, ..Self::default() },
            // The refusal names what the API calls the field.
            "invalid_cluster" => match access(form) {
                Err(AccessError::Invalid("server")) => Self { server: Some(t.bad_server.into()), ..Self::default() },
                Err(AccessError::Invalid("token")) => Self { token: Some(t.bad_token.into()), ..Self::default() },
                Err(AccessError::Invalid("certificate-authority-data")) => {
                    Self { ca: Some(t.bad_ca.into()), ..Self::default() }
                }
                _ => Self { all: words, ..Self::default() },
            },
            "refused_address" if form.text("by") == BY_TOKEN => Self { server: words, ..Self::default() },
            _ if failure.status() == 422 => Self { all: words, ..Self::default() },
            _ => return Err(failure),
        })
    }
}

/// The way that was chosen, in what was typed.
fn access(form: &Form) -> Result<ClusterAccess, AccessError> {
    let given = |name| Some(form.text(name).trim()).filter(|text| !text.is_empty());
    match form.text("by") {
        BY_TOKEN => {
            let token = SecretString::from(form.text("token").trim());
            ClusterAccess::from_parts(form.text("server").trim(), given("ca"), token)
        }
        _ => {
            let yaml = form.text("kubeconfig").as_bytes();
            ClusterAccess::from_kubeconfig(yaml, given("context"), &KubeconfigSource::Uploaded)
        }
    }
}

/// Shows the dialog that registers a cluster.
///
/// # Errors
/// [`Failure`].
pub async fn new(caller: Caller, request: HttpRequest) -> Result<HttpResponse, Failure> {
    caller.about(Event::ClusterAdd, target());
    no_query(&request)?;
    let reader = Reader::new(&caller, &request)?;
    if let Some(first) = code_first::<AddCluster>(&caller, &request).await? {
        return Ok(first);
    }
    let clusters = known_to::<AddCluster>(&caller, Event::ClusterAdd).await?;
    let dialog = dialog(&reader, reader.kept.as_ref(), &Wrong::default());
    Ok(settings_page(&reader, &clusters, Some(dialog), StatusCode::OK))
}

/// Registers a cluster.
///
/// # Errors
/// [`Failure`].
pub async fn create(caller: Caller, request: HttpRequest, form: Form) -> Result<HttpResponse, Failure> {
    caller.about(Event::ClusterAdd, target());
    no_query(&request)?;
    form.only(&FIELDS, &[])?;
    keep(&request, &form, &KEPT);
    let refused = |error| Failure::invalid("invalid_cluster", format!("The cluster is refused: {error}."));
    let made = caller
        .act(Event::ClusterAdd, target(), async |view| {
            // Who may not register any, learns nothing of what would be wrong with this one.
            let acting = caller.acting(view);
            acting.authorize::<AddCluster>(target())?;
            let access = access(&form).map_err(refused)?;
            add_cluster::add_cluster(&acting, form.text("name").trim(), &access, form.ticked("impersonate")).await
        })
        .await;
    let failure = match made {
        Ok(_) => return Ok(done_at(SETTINGS, "cluster-added")),
        Err(failure) => failure,
    };
    let status = failure.status_code();
    let reader = Reader::new(&caller, &request)?;
    let wrong = Wrong::of(failure, &form, &reader.texts.clusters)?;
    let clusters = known_to::<AddCluster>(&caller, Event::ClusterAdd).await?;
    let dialog = dialog(&reader, Some(&form), &wrong);
    Ok(settings_page(&reader, &clusters, Some(dialog), status))
}

fn dialog(reader: &Reader, typed: Option<&Form>, wrong: &Wrong) -> Markup {
    let t = &reader.texts.clusters;
    let value = |name| typed.map_or("", |form| form.text(name));
    // What is a secret is not sent back.
    let hint = |hint| if typed.is_some() { t.again } else { hint };
    let by_token = value("by") == BY_TOKEN;
    let way = |by: &'static str, label: &'static str| {
        html! {
            label {
                input type="radio" name="by" value=(by) checked[by_token == (by == BY_TOKEN)];
                span { (label) }
            }
        }
    };
    let name = Field {
        name: "name",
        label: t.name,
        value: value("name"),
        hint: t.name_hint,
        error: wrong.name.as_deref(),
        first: true,
        longest: Some(63),
        ..Field::default()
    };
    // Those of the way that is not chosen stay empty, so none of them is required.
    let context = Field {
        name: "context",
        label: t.context,
        value: value("context"),
        hint: t.context_hint,
        optional: true,
        ..Field::default()
    };
    let server = Field {
        name: "server",
        label: t.server,
        value: value("server"),
        hint: t.server_hint,
        error: wrong.server.as_deref(),
        optional: true,
        ..Field::default()
    };
    let token = Field {
        name: "token",
        label: t.token,
        hint: hint(t.token_hint),
        error: wrong.token.as_deref(),
        kind: "password",
        optional: true,
        ..Field::default()
    };
    let fields = html! {
        @if let Some(words) = &wrong.all { (parts::alert(words)) }
        (name)
        fieldset.field {
            legend { (t.way) }
            div.choices { (way(BY_KUBECONFIG, t.by_kubeconfig)) (way(BY_TOKEN, t.by_token)) }
        }
        div.way.by-kubeconfig {
            (lines("kubeconfig", t.kubeconfig, "", hint(t.kubeconfig_hint), wrong.kubeconfig.as_deref()))
            (context)
        }
        div.way.by-token {
            (server)
            (token)
            (lines("ca", t.ca, value("ca"), t.ca_hint, wrong.ca.as_deref()))
        }
        (tick("impersonate", t.impersonate, !value("impersonate").is_empty()))
    };
    Dialog {
        title: t.add_title,
        lead: html! { (t.add_about) },
        fields,
        action: "/settings/clusters/new",
        cancel: SETTINGS,
        button: t.add,
        busy: t.adding,
        danger: false,
    }
    .markup(reader)
}

/// A field of several lines.
fn lines(name: &str, label: &str, value: &str, hint: &str, error: Option<&str>) -> Markup {
    html! {
        div.field {
            label for=(name) { (label) }
            textarea id=(name) name=(name) rows="6" autocomplete="off" autocapitalize="none" spellcheck="false"
                aria-invalid=[error.map(|_| "true")] aria-describedby=[parts::described(name, hint, error)] { (value) }
            (parts::below(name, hint, error))
        }
    }
}
