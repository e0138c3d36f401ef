//! The dialog that makes a key, and the one sight of it.
//!
//! A key's text is in the answer to the form that made it, and in no other page.

use super::{HERE, TableQuery, keys, keys_page, load};
use crate::{
    api::input::reached_at,
    caller::Caller,
    failure::Failure,
    operations::create_api_key::{self, Created, Wanted},
    pages::{
        cookies,
        form::Form,
        parts::{self, Dialog, Field},
        reader::Reader,
        sign_in::add,
        texts::said,
    },
    problem::Problem,
    routes::no_query,
};
use actix_web::{HttpRequest, HttpResponse, ResponseError, http::StatusCode};
use kv_authz::audit::Event;
use maud::{Markup, html};
use time::{Date, Duration, OffsetDateTime, Time, macros::format_description};

/// What a new key's expiry is set to at first, in days.
const DEFAULT_LIFE: &str = "90";

/// Shows the dialog that makes a key.
///
/// # Errors
/// [`Failure`].
pub async fn new(caller: Caller, request: HttpRequest) -> Result<HttpResponse, Failure> {
    caller.about(Event::ApiKeyCreate, keys());
    no_query(&request)?;
    let reader = Reader::new(&caller, &request)?;
    let known = load(&caller, &TableQuery::default(), None, reader.texts).await?;
    let dialog = new_dialog(&reader, &known.can, &Typed::default(), &Wrong::default());
    Ok(keys_page(&reader, &known, &TableQuery::default(), Some(dialog), StatusCode::OK))
}

/// What was typed into the dialog.
struct Typed<'a> {
    name: &'a str,
    expiry: &'a str,
    date: &'a str,
}

impl Default for Typed<'_> {
    fn default() -> Self {
        Self { name: "", expiry: DEFAULT_LIFE, date: "" }
    }
}

/// What is wrong with it.
#[derive(Default)]
struct Wrong {
    name: Option<String>,
    expiry: Option<String>,
    all: Option<String>,
}

/// Makes a key, and shows it.
///
/// # Errors
/// [`Failure`].
pub async fn create(caller: Caller, request: HttpRequest, form: Form) -> Result<HttpResponse, Failure> {
    caller.about(Event::ApiKeyCreate, keys());
    no_query(&request)?;
    form.only(&["name", "expiry", "date"], &[])?;
    let reader = Reader::new(&caller, &request)?;
    let typed = Typed { name: form.text("name"), expiry: form.text("expiry"), date: form.text("date") };
    // What the page shows around the key is read before there is one: nothing may come between a key and its only sight.
    let known = load(&caller, &TableQuery::default(), None, reader.texts).await?;
    let made = caller
        .act(Event::ApiKeyCreate, keys(), async |view| {
            let wanted = Wanted { name: typed.name.to_owned(), expires_at: expiry(&reader, &typed)? };
            create_api_key::create_api_key(caller.acting(view), &wanted).await
        })
        .await;
    let page = |dialog, status| keys_page(&reader, &known, &TableQuery::default(), Some(dialog), status);
    let failure = match made {
        Ok(created) => {
            let mut response = page(once(&reader, &request, &known.cluster, &created), StatusCode::CREATED);
            // Taken away by the next page: a page whose cookies have changed is not kept whole for Back.
            add(&mut response, &cookies::just_done("made"));
            return Ok(response);
        }
        Err(failure) => failure,
    };
    let words = Problem::new(&failure, "").detail;
    let wrong = match failure.code() {
        "name_taken" => {
            let words = reader.texts.keys.taken.into();
            Wrong { name: Some(words), ..Wrong::default() }
        }
        "invalid_name" => Wrong { name: Some(words), ..Wrong::default() },
        "invalid_expiry" => Wrong { expiry: Some(reader.texts.keys.bad_date.into()), ..Wrong::default() },
        "too_many_keys" => Wrong { all: Some(words), ..Wrong::default() },
        _ => return Err(failure),
    };
    let status = failure.status_code();
    Ok(page(new_dialog(&reader, &known.can, &typed, &wrong), status))
}

/// When a key shall end, by the choice made.
fn expiry(reader: &Reader, typed: &Typed<'_>) -> Result<Option<OffsetDateTime>, Failure> {
    let bad = || Failure::unprocessable("invalid_expiry", reader.texts.keys.bad_date);
    match typed.expiry {
        "never" => Ok(None),
        "date" => {
            let day = Date::parse(typed.date, format_description!("[year]-[month]-[day]")).map_err(|_| bad())?;
            let end = Time::from_hms(23, 59, 59).map_err(|_| bad())?;
            Ok(Some(day.with_time(end).assume_utc()))
        }
        days => {
            let days = days.parse().ok().filter(|days| (1..=3650).contains(days)).ok_or_else(bad)?;
            Ok(Some(reader.now + Duration::days(days)))
        }
    }
}

fn new_dialog(reader: &Reader, can: &str, typed: &Typed<'_>, wrong: &Wrong) -> Markup {
    let t = &reader.texts.keys;
    let choices = [
        ("7", t.expires_7),
        ("30", t.expires_30),
        ("90", t.expires_90),
        ("365", t.expires_365),
        ("date", t.expires_date),
        ("never", t.expires_never),
    ];
    let name = Field {
        name: "name",
        label: t.name,
        value: typed.name,
        hint: t.name_hint,
        error: wrong.name.as_deref(),
        first: true,
        longest: Some(create_api_key::MAX_NAME),
        ..Field::default()
    };
    let error = wrong.expiry.as_deref();
    let fields = html! {
        @if let Some(words) = &wrong.all { (parts::alert(words)) }
        (name)
        fieldset.field aria-describedby=[parts::described("expiry", "", error)] {
            legend { (t.expires) }
            div.choices {
                @for (value, label) in choices {
                    label {
                        input type="radio" name="expiry" value=(value) checked[typed.expiry == value];
                        span { (label) }
                    }
                }
            }
            p.dated {
                label for="date" { (t.date) }
                input #date name="date" type="date" value=(typed.date) aria-invalid=[error.map(|_| "true")]
                    aria-describedby=[parts::described("expiry", "", error)];
            }
            (parts::below("expiry", "", error))
            p.hint data-expiry-preview data-never=(t.preview_never) data-choose=(t.date_hint) { (t.preview) }
        }
    };
    Dialog {
        title: t.new,
        lead: html! { (said(t.new_about, can)) },
        fields,
        action: "/profile/api-keys/new",
        cancel: HERE,
        button: t.generate,
        busy: t.generating,
        danger: false,
    }
    .markup(reader)
}

/// The one sight of a key.
fn once(reader: &Reader, request: &HttpRequest, cluster: &str, created: &Created) -> Markup {
    let t = &reader.texts.keys;
    let server = reader.app.config.public_url.clone().or_else(|| reached_at(request));
    let server = server.map_or_else(|| "https://kubevision.example.com".to_owned(), |server| server.to_string());
    let curl = format!("curl {server}/api/v1/clusters \\\n  -H \"Authorization: ApiKey $KUBEVISION_API_KEY\"");
    let kubectl = format!(
        "kubectl get pods --token \"$KUBEVISION_API_KEY\" \\\n  --server {server}/api/v1/clusters/{cluster}/k8s"
    );
    let snippet = |id: &str, text: &str| {
        html! {
            div.copy {
                pre id=(id) { (text) }
                button.btn type="button" data-copy=(id) data-copied=(t.copied) hidden { (t.copy) }
            }
        }
    };
    html! {
        dialog.wide open data-modal aria-modal="true" aria-labelledby="dialog-title" {
            h2 #dialog-title { (said(t.ready, &created.name)) }
            p { (t.once) }
            div.copy {
                code #key data-secret data-forget-url=(HERE) { (created.key.expose()) }
                button.btn type="button" data-copy="key" data-copied=(t.copied) hidden autofocus { (t.copy) }
            }
            p.notice.warn { (t.lost) }
            h3 { (t.try_it) }
            p.hint { (t.try_hint) " " code { "read -rs KUBEVISION_API_KEY; export KUBEVISION_API_KEY" } }
            (snippet("curl", &curl))
            h3 { (t.kubectl) }
            (snippet("kubectl", &kubectl))
            div.actions { a.btn.primary href=(HERE) data-forget { (t.stored) } }
        }
    }
}
