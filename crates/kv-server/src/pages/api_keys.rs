//! Profile, API Keys: the table of one's own keys, the dialog that makes one, the one sight of a new key, and the dialog
//! that revokes.
//!
//! A key's text is in the answer to the form that made it, and in no other page.

use super::{
    cookies,
    error::see_other,
    form::Form,
    layout::{Page, Place},
    parts::{self, Dialog, Field},
    reader::Reader,
    settings::done_at,
    sign_in::add,
    texts::{Texts, said},
};
use crate::{
    api::{
        api_keys::permissions,
        input::{id, page, query, reached_at},
    },
    caller::Caller,
    failure::Failure,
    operations::{
        create_api_key::{self, Created, Wanted},
        list_api_keys::{self, Listed},
        revoke_api_key,
    },
    problem::Problem,
    routes::no_query,
};
use actix_web::{HttpRequest, HttpResponse, http::StatusCode, web::Path};
use kv_authz::{
    KeyId,
    action::CreateApiKey,
    audit::{Event, Target},
};
use kv_store::{KeyFilter, PageRequest};
use maud::{Markup, html};
use serde::Deserialize;
use time::{Date, Duration, OffsetDateTime, Time, macros::format_description};

mod table;

pub(super) use table::{Slice, Sort, Tab, keys_table, more, revoke_lead, slice};

/// Where the table is.
const HERE: &str = "/profile/api-keys";
/// What a new key's expiry is set to at first, in days.
const DEFAULT_LIFE: &str = "90";

/// What the table takes in its address.
#[derive(Debug, Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct TableQuery {
    #[serde(default)]
    pub(super) state: Tab,
    #[serde(default)]
    pub(super) sort: Sort,
    /// Where a page begins among those that are loaded whole.
    #[serde(default)]
    pub(super) from: usize,
    pub(super) cursor: Option<String>,
}

fn keys() -> Target {
    Target::of("api-keys")
}

/// A page of keys with what is to be known for the page around it.
struct Known {
    keys: kv_store::Page<Listed>,
    /// What a key can do, in words.
    can: String,
    /// A cluster that it reaches, for an example.
    cluster: String,
}

async fn load(caller: &Caller, table: &TableQuery, texts: &Texts) -> Result<Known, Failure> {
    let request = match table.state {
        // All that are live are few enough for one page.
        Tab::Live | Tab::Expired => page(Some(PageRequest::MAX_LIMIT), table.cursor.as_deref())?,
        Tab::Revoked => page(None, table.cursor.as_deref())?,
    };
    let filter = if table.state == Tab::Revoked { KeyFilter::Revoked } else { KeyFilter::NotRevoked };
    caller
        .observe(Event::ApiKeyList, keys(), async |view| {
            let keys = list_api_keys::list_api_keys(caller.acting(view), filter, request).await?;
            let owner = view.principal.owner().ok_or(Failure::NotFound { what: "user" })?;
            let cluster = view.clusters.clusters.iter().find(|cluster| owner.reach(cluster.id).is_some());
            Ok(Known {
                keys,
                can: table::what_it_can(texts, &permissions(owner, view)),
                cluster: cluster.map_or_else(|| "CLUSTER".to_owned(), |cluster| cluster.name.clone()),
            })
        })
        .await
}

/// Shows the table.
///
/// # Errors
/// [`Failure`].
pub async fn list(caller: Caller, request: HttpRequest) -> Result<HttpResponse, Failure> {
    caller.about(Event::ApiKeyList, keys());
    let wanted: TableQuery = query(&request)?;
    let reader = Reader::new(&caller, &request)?;
    let known = load(&caller, &wanted, reader.texts).await?;
    Ok(keys_page(&reader, &known, &wanted, None, StatusCode::OK))
}

/// Shows the dialog that makes a key.
///
/// # Errors
/// [`Failure`].
pub async fn new(caller: Caller, request: HttpRequest) -> Result<HttpResponse, Failure> {
    caller.about(Event::ApiKeyCreate, keys());
    no_query(&request)?;
    let reader = Reader::new(&caller, &request)?;
    let known = load(&caller, &TableQuery::default(), reader.texts).await?;
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
    let made = match expiry(&reader, &typed) {
        Ok(expires_at) => {
            let wanted = Wanted { name: typed.name.to_owned(), expires_at };
            let made = caller
                .act(Event::ApiKeyCreate, keys(), async |view| {
                    create_api_key::create_api_key(caller.acting(view), &wanted).await
                })
                .await;
            made.map_err(|failure| match failure.code() {
                "invalid_name" | "name_taken" => {
                    Ok((Wrong { name: Some(failure.to_string()), ..Wrong::default() }, failure.status()))
                }
                "invalid_expiry" => {
                    Ok((Wrong { expiry: Some(reader.texts.keys.bad_date.into()), ..Wrong::default() }, 422))
                }
                "too_many_keys" => {
                    let words = Problem::new(&failure, "").detail;
                    Ok((Wrong { all: Some(words), ..Wrong::default() }, failure.status()))
                }
                _ => Err(failure),
            })
        }
        Err(words) => Err(Ok((Wrong { expiry: Some(words), ..Wrong::default() }, 422))),
    };
    let (wrong, status) = match made {
        Ok(created) => {
            let known = load(&caller, &TableQuery::default(), reader.texts).await?;
            let dialog = once(&reader, &request, &known.cluster, &created);
            let mut response = keys_page(&reader, &known, &TableQuery::default(), Some(dialog), StatusCode::CREATED);
            // Taken away by the next page: a page whose cookies have changed is not kept whole for Back.
            add(&mut response, &cookies::just_done("made"));
            return Ok(response);
        }
        Err(refused) => refused?,
    };
    let known = load(&caller, &TableQuery::default(), reader.texts).await?;
    let dialog = new_dialog(&reader, &known.can, &typed, &wrong);
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::UNPROCESSABLE_ENTITY);
    Ok(keys_page(&reader, &known, &TableQuery::default(), Some(dialog), status))
}

/// When a key shall end, by the choice made.
fn expiry(reader: &Reader, typed: &Typed<'_>) -> Result<Option<OffsetDateTime>, String> {
    let bad = || reader.texts.keys.bad_date.to_owned();
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

/// Shows the dialog that revokes a key.
///
/// # Errors
/// [`Failure`]: 404 for a key that is not one's own.
pub async fn ask_to_revoke(caller: Caller, request: HttpRequest, path: Path<String>) -> Result<HttpResponse, Failure> {
    caller.about(Event::ApiKeyRevoke, keys());
    no_query(&request)?;
    let key: KeyId = id(&path, "API key")?;
    let reader = Reader::new(&caller, &request)?;
    let known = load(&caller, &TableQuery::default(), reader.texts).await?;
    let listed = known.keys.items.iter().find(|listed| listed.key.id == key);
    let Some(listed) = listed else {
        // Revoked by now, or never one's own: the table tells.
        return Ok(see_other(HERE));
    };
    let dialog = Dialog {
        title: &said(reader.texts.keys.revoke_title, &listed.key.name),
        lead: revoke_lead(&reader, listed),
        fields: html! {},
        action: &format!("{HERE}/{key}/revoke"),
        cancel: HERE,
        button: reader.texts.keys.revoke_action,
        busy: reader.texts.keys.revoking,
        danger: true,
    }
    .markup(&reader);
    Ok(keys_page(&reader, &known, &TableQuery::default(), Some(dialog), StatusCode::OK))
}

/// Revokes a key.
///
/// # Errors
/// [`Failure`].
pub async fn revoke(
    caller: Caller,
    request: HttpRequest,
    path: Path<String>,
    form: Form,
) -> Result<HttpResponse, Failure> {
    caller.about(Event::ApiKeyRevoke, keys());
    no_query(&request)?;
    form.only(&[], &[])?;
    let key = id(&path, "API key")?;
    caller
        .act(Event::ApiKeyRevoke, keys(), async |view| {
            revoke_api_key::revoke_api_key(caller.acting(view), key, None).await
        })
        .await?;
    Ok(done_at(HERE, "revoked"))
}

fn keys_page(
    reader: &Reader,
    known: &Known,
    wanted: &TableQuery,
    dialog: Option<Markup>,
    status: StatusCode,
) -> HttpResponse {
    let t = &reader.texts.keys;
    let new = || html! { a.btn.primary href={ (HERE) "/new" } { (t.new) } };
    let Slice { keys: shown, next } = slice(&known.keys, wanted, HERE);
    let (none, what) = match wanted.state {
        Tab::Live => (t.none, t.none_what),
        Tab::Expired => (t.none_expired, ""),
        Tab::Revoked => (t.none_revoked, ""),
    };
    let tab = |name, tab: Tab| (name, tab.address(HERE, wanted.sort), wanted.state == tab);
    Page {
        reader,
        place: Place::Keys,
        title: t.title,
        over: html! { (reader.texts.nav.profile) },
        about: html! { (t.about) },
        actions: if reader.may::<CreateApiKey>() {
            new()
        } else {
            html! {}
        },
        main: html! {
            (parts::tabs(t.state, &[
                tab(t.tab_live, Tab::Live), tab(t.tab_expired, Tab::Expired), tab(t.tab_revoked, Tab::Revoked),
            ]))
            @if shown.is_empty() {
                div.empty {
                    h2 { (none) }
                    @if !what.is_empty() { p { (what) } (new()) }
                }
            } @else {
                (keys_table(reader, shown, HERE, wanted.state, wanted.sort))
            }
            (more(reader, next.as_deref()))
        },
        dialog,
        status,
    }
    .answer()
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
            (snippet("curl", &curl))
            h3 { (t.kubectl) }
            (snippet("kubectl", &kubectl))
            div.actions { a.btn.primary href=(HERE) data-forget { (t.stored) } }
        }
    }
}
