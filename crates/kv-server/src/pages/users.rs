//! Settings, Users: the list, and the dialog that makes a user.
//!
//! What one user is and has, is on that user's own page; no password is in any page.

use super::{
    form::Form,
    kept::keep,
    layout::{Page, Place},
    parts::{self, Dialog, Field, Tone},
    reader::Reader,
    settings::{Refusal, Select, code_first, done_at},
    texts::said,
};
use crate::{
    api::{
        api_keys::{AssignedTo, permissions},
        input::{page, query},
    },
    caller::Caller,
    failure::Failure,
    operations::{Acting, create_user, list_users, roles},
    routes::no_query,
    view::View,
};
use actix_web::{HttpRequest, HttpResponse, http::StatusCode};
use form_urlencoded::Serializer;
use kv_authz::{
    Owner, Role,
    action::{CreateUser, ListUsers, OwnAction},
    audit::Target,
    grant::may_give_role,
};
use kv_store::UserRecord;
use maud::{Markup, html};
use serde::Deserialize;

pub mod access;
pub mod account;
pub mod rights;
mod sections;
pub mod user;

/// Where the list is.
const HERE: &str = "/settings/users";
/// The longest name, in characters.
const MAX_NAME: usize = 64;

/// What the list takes in its address.
#[derive(Debug, Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct ListQuery {
    /// How the names begin.
    #[serde(default)]
    name_prefix: String,
    cursor: Option<String>,
}

impl ListQuery {
    fn prefix(&self) -> Option<&str> {
        Some(self.name_prefix.trim()).filter(|prefix| !prefix.is_empty())
    }

    /// The list with the same names, from its beginning or from further on.
    fn address(&self, cursor: Option<&str>) -> String {
        let fields = [("name_prefix", self.prefix()), ("cursor", cursor)];
        let fields = fields.into_iter().filter_map(|(name, value)| Some((name, value?)));
        match Serializer::new(String::new()).extend_pairs(fields).finish().as_str() {
            "" => HERE.into(),
            query => format!("{HERE}?{query}"),
        }
    }
}

/// A page of the list.
struct Known {
    users: Vec<(UserRecord, Vec<AssignedTo>)>,
    next: Option<String>,
    /// The roles that the reader may give.
    roles: Vec<String>,
}

fn users() -> Target {
    Target::of("users")
}

/// Reads a page of the list, for whoever may do the act.
async fn load<A: OwnAction>(caller: &Caller, wanted: &ListQuery) -> Result<Known, Failure> {
    let page = page(None, wanted.cursor.as_deref())?;
    let prefix = wanted.prefix().map(str::to_owned);
    caller
        .observe(A::line().event, users(), async |view| {
            let acting = caller.acting(view);
            acting.authorize::<A>(users())?;
            let found = list_users::list_users(caller.acting(view), prefix.clone(), page).await?;
            let places = |user: UserRecord| {
                let places = places(&user, view);
                (user, places)
            };
            let roles = names_of(givable(&acting).await?);
            let next = found.next.map(|id| id.to_string());
            Ok(Known { users: found.items.into_iter().map(places).collect(), next, roles })
        })
        .await
}

/// Where a user's role counts.
fn places(user: &UserRecord, view: &View) -> Vec<AssignedTo> {
    let UserRecord { id, name, role, assignments, .. } = user;
    let owner = Owner { id: *id, name: name.clone(), role: role.clone(), assignments: assignments.clone() };
    permissions(&owner, view).assignments
}

/// The roles that whoever acts may give.
async fn givable(acting: &Acting<'_>) -> Result<Vec<Role>, Failure> {
    let custom = roles::list_roles(acting).await?;
    let custom = custom.into_iter().map(|role| Role::Custom { id: role.id, name: role.name, grants: role.grants });
    let all = Role::BUILT_IN.into_iter().chain(custom);
    Ok(all.filter(|role| may_give_role(acting.principal, role).is_ok()).collect())
}

fn names_of(roles: Vec<Role>) -> Vec<String> {
    roles.iter().map(|role| role.name().to_owned()).collect()
}

/// Shows the list.
///
/// # Errors
/// [`Failure`].
pub async fn list(caller: Caller, request: HttpRequest) -> Result<HttpResponse, Failure> {
    caller.about(ListUsers::line().event, users());
    let wanted: ListQuery = query(&request)?;
    let known = load::<ListUsers>(&caller, &wanted).await?;
    let reader = Reader::new(&caller, &request)?;
    Ok(list_page(&reader, &known, &wanted, None, StatusCode::OK))
}

/// Shows the dialog that makes a user.
///
/// # Errors
/// [`Failure`].
pub async fn new(caller: Caller, request: HttpRequest) -> Result<HttpResponse, Failure> {
    caller.about(CreateUser::line().event, users());
    no_query(&request)?;
    if let Some(first) = code_first::<CreateUser>(&caller, &request).await? {
        return Ok(first);
    }
    let known = load::<CreateUser>(&caller, &ListQuery::default()).await?;
    let reader = Reader::new(&caller, &request)?;
    // The least powerful of the built-in ones: whoever needs more is given more.
    let (name, role) =
        reader.kept.as_ref().map_or(("", Role::Readonly.name()), |kept| (kept.text("name"), kept.text("role")));
    let dialog = new_dialog(&reader, &known, name, role, None);
    Ok(list_page(&reader, &known, &ListQuery::default(), Some(dialog), StatusCode::OK))
}

/// Makes a user.
///
/// # Errors
/// [`Failure`].
pub async fn create(caller: Caller, request: HttpRequest, form: Form) -> Result<HttpResponse, Failure> {
    let event = CreateUser::line().event;
    caller.about(event, users());
    no_query(&request)?;
    form.only(&["name", "role", "password"], &[])?;
    keep(&request, &form, &["name", "role"]);
    let (name, role) = (form.text("name"), form.text("role"));
    let password = || form.ticked("password").then(|| form.secret("password"));
    let made = caller
        .act(event, users(), async |view| create_user::create_user(&caller.acting(view), name, role, password()).await)
        .await;
    match made {
        Ok(user) => Ok(done_at(&format!("{HERE}/{}", user.id), "user-made")),
        Err(failure) => {
            let refusal = Refusal::of(failure)?;
            let known = load::<ListUsers>(&caller, &ListQuery::default()).await?;
            let reader = Reader::new(&caller, &request)?;
            let dialog = new_dialog(&reader, &known, name, role, Some(&refusal));
            Ok(list_page(&reader, &known, &ListQuery::default(), Some(dialog), refusal.status))
        }
    }
}

fn new_dialog(reader: &Reader, known: &Known, name: &str, role: &str, refusal: Option<&Refusal>) -> Markup {
    let (t, d) = (&reader.texts.users, &reader.texts.user_dialogs);
    let wrong = |codes: &[&str]| refusal.and_then(|refusal| refusal.about(codes));
    let [wrong_name, wrong_role, wrong_password] =
        [&["invalid_name", "name_taken"][..], &["unknown_role"], &["weak_password"]].map(wrong);
    let beside = wrong_name.or(wrong_role).or(wrong_password);
    let mut options: Vec<_> = known.roles.iter().map(|name| (name.as_str(), name.as_str())).collect();
    // What was sent stays what is chosen.
    if (refusal.is_some() || reader.kept.is_some()) && !known.roles.iter().any(|known| known == role) {
        options.push((role, role));
    }
    let fields = html! {
        @if let Some(refusal) = refusal.filter(|_| beside.is_none()) { (parts::alert(&refusal.words)) }
        (Field {
            name: "name", label: t.name, value: name, hint: d.name_hint, error: wrong_name, longest: Some(MAX_NAME),
            first: wrong_role.or(wrong_password).is_none(), ..Field::default()
        })
        (Select { name: "role", label: t.role, options, value: role, error: wrong_role, first: wrong_role.is_some() })
        (Field {
            name: "password", label: d.password, kind: "password", hint: d.password_hint, error: wrong_password,
            autocomplete: "new-password", optional: true, first: wrong_password.is_some(), ..Field::default()
        })
    };
    Dialog {
        title: t.new,
        lead: html! { (d.new_about) },
        fields,
        action: &format!("{HERE}/new"),
        cancel: HERE,
        button: d.make,
        busy: d.making,
        danger: false,
    }
    .markup(reader)
}

fn list_page(
    reader: &Reader,
    known: &Known,
    wanted: &ListQuery,
    dialog: Option<Markup>,
    status: StatusCode,
) -> HttpResponse {
    let t = &reader.texts.users;
    let prefix = wanted.prefix();
    Page {
        reader,
        place: Place::Users,
        title: t.title,
        over: html! { (reader.texts.nav.settings) },
        about: html! { (t.about) },
        actions: html! {
            @if reader.may::<CreateUser>() { a.btn.primary href={ (HERE) "/new" } { (t.new) } }
        },
        main: html! {
            form.filters method="get" action=(HERE) role="search" aria-label=(t.find_named) {
                label { (t.name) " " input name="name_prefix" value=[prefix] placeholder=(t.begins) autocomplete="off"
                    autocapitalize="none" spellcheck="false" maxlength=(MAX_NAME); }
                button.btn.small { (t.find) }
                @if prefix.is_some() { a.btn.small.plain href=(HERE) { (t.everybody) } }
            }
            @if known.users.is_empty() {
                div.empty {
                    // A page may have emptied since the one before it was read.
                    @if let Some(prefix) = prefix {
                        h2 { (said(t.nobody, prefix)) }
                        p { (t.nobody_what) }
                    }
                    a.btn href=(HERE) { (t.everybody) }
                }
            } @else {
                (table(reader, known))
            }
            @if wanted.cursor.is_some() || known.next.is_some() {
                p.pager {
                    @if wanted.cursor.is_some() {
                        a.btn.small href=(wanted.address(None)) rel="first" { (reader.texts.nav.first) }
                    }
                    @if let Some(next) = &known.next {
                        a.btn.small href=(wanted.address(Some(next))) rel="next" { (reader.texts.nav.more) }
                    }
                }
            }
        },
        dialog,
        status,
    }
    .answer()
}

fn table(reader: &Reader, known: &Known) -> Markup {
    let t = &reader.texts.users;
    html! {
        div.table {
            table {
                caption.sr { (t.title) }
                thead {
                    tr { @for name in [t.name, t.role, t.clusters, t.second_factor, t.status] { th scope="col" { (name) } } }
                }
                tbody {
                    @for (user, places) in &known.users {
                        tr {
                            th scope="row" { a href={ (HERE) "/" (user.id) } { (user.name) } }
                            td data-label=(t.role) { (user.role.name()) }
                            td.dim data-label=(t.clusters) { (named(reader, places)) }
                            td data-label=(t.second_factor) { (factor(reader, user)) }
                            td data-label=(t.status) { (status(reader, user)) }
                        }
                    }
                }
            }
        }
    }
}

/// Places in words.
fn named(reader: &Reader, places: &[AssignedTo]) -> String {
    let t = &reader.texts.users;
    let one = |line: &AssignedTo| {
        let cluster = line.cluster.as_deref().unwrap_or(t.every_cluster);
        match &line.namespaces {
            None => cluster.to_owned(),
            Some(names) => format!("{cluster} ({})", names.join(", ")),
        }
    };
    if places.is_empty() { t.nowhere.into() } else { places.iter().map(one).collect::<Vec<_>>().join(", ") }
}

/// Whether a user has a second factor.
fn factor(reader: &Reader, user: &UserRecord) -> Markup {
    let t = &reader.texts.users;
    if user.has_second_factor { parts::pill(Tone::Good, t.on) } else { parts::pill(Tone::Warning, t.off) }
}

/// Whether a user can sign in.
fn status(reader: &Reader, user: &UserRecord) -> Markup {
    let t = &reader.texts.users;
    match user.disabled_at {
        None => parts::pill(Tone::Good, t.enabled),
        Some(_) => parts::pill(Tone::Plain, t.disabled),
    }
}
