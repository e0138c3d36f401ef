//! Profile, API Keys: the table of one's own keys, the dialog that makes one, the one sight of a new key, and the dialog
//! that revokes.
//!
//! A key's text is in the answer to the form that made it, and in no other page.

use super::{
    error::see_other,
    form::Form,
    layout::{Page, Place},
    parts::Dialog,
    reader::Reader,
    settings::done_at,
    texts::{Texts, said},
};
use crate::{
    api::{
        api_keys::permissions,
        input::{id, page, query},
    },
    caller::Caller,
    failure::Failure,
    operations::{
        list_api_keys::{self, Listed, Overview},
        revoke_api_key,
    },
    routes::no_query,
};
use actix_web::{HttpRequest, HttpResponse, http::StatusCode, web::Path};
use kv_authz::{
    KeyId, KeyState,
    action::CreateApiKey,
    audit::{Event, Target},
};
use kv_store::{KeyFilter, PageRequest};
use maud::{Markup, html};
use serde::Deserialize;

mod new;
mod table;

pub use new::{create, new};
pub(super) use table::{Slice, Sort, Tab, keys_table, more, revoke_lead, slice, tabs};

/// Where the table is.
const HERE: &str = "/profile/api-keys";

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

impl TableQuery {
    /// What to read for it: as much as is put in order at once, where that is few.
    ///
    /// # Errors
    /// [`Failure::Invalid`] for a cursor that is none.
    pub(super) fn wanted(&self) -> Result<(KeyFilter, PageRequest), Failure> {
        let (filter, limit) = match self.state {
            Tab::Live => (KeyFilter::Live, Some(PageRequest::MAX_LIMIT)),
            Tab::Expired => (KeyFilter::Expired, None),
            Tab::Revoked => (KeyFilter::Revoked, None),
        };
        Ok((filter, page(limit, self.cursor.as_deref())?))
    }
}

fn keys() -> Target {
    Target::of("api-keys")
}

/// A page of keys with what is to be known for the page around it.
struct Known {
    keys: Overview,
    /// The one that is asked about.
    about: Option<Listed>,
    /// What a key can do, in words.
    can: String,
    /// A cluster that it reaches, for an example.
    cluster: String,
}

/// Reads what a page shows, and the key that its dialog is about.
async fn load(caller: &Caller, table: &TableQuery, about: Option<KeyId>, texts: &Texts) -> Result<Known, Failure> {
    let (filter, request) = table.wanted()?;
    caller
        .observe(Event::ApiKeyList, keys(), async |view| {
            let acting = caller.acting(view);
            let about = match about {
                Some(key) => Some(list_api_keys::show_api_key(&acting, key).await?),
                None => None,
            };
            let keys = list_api_keys::survey_api_keys(&acting, filter, request).await?;
            let owner = view.principal.owner().ok_or(Failure::NotFound { what: "user" })?;
            let cluster = view.clusters.clusters.iter().find(|cluster| owner.reach(cluster.id).is_some());
            Ok(Known {
                keys,
                about,
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
    let known = load(&caller, &wanted, None, reader.texts).await?;
    Ok(keys_page(&reader, &known, &wanted, None, StatusCode::OK))
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
    let known = load(&caller, &TableQuery::default(), Some(key), reader.texts).await?;
    let Some(listed) = known.about.as_ref().filter(|listed| listed.state != KeyState::Revoked) else {
        // Revoked by now: the table tells.
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
    let Slice { keys: shown, next } = slice(&known.keys.page, wanted, HERE);
    let (none, what) = match wanted.state {
        Tab::Live => (t.none, t.none_what),
        Tab::Expired => (t.none_expired, ""),
        Tab::Revoked => (t.none_revoked, ""),
    };
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
            (tabs(reader, &known.keys.counts, wanted, HERE))
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
