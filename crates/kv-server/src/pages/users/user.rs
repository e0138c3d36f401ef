//! Settings, Users, one of them: what they are and have, section by section, each for whoever may see it.
//!
//! Nothing is changed here; what the page's forms and dialogs do is in the files beside this one.

use super::{HERE, givable, names_of, sections, status, users};
use crate::{
    api::{
        api_keys::{AssignedTo, assigned},
        input::{page, query},
        users::known,
    },
    caller::Caller,
    failure::Failure,
    operations::{
        list_api_keys::{self, Listed, Overview},
        list_clusters, list_users, sessions,
    },
    pages::{
        api_keys::TableQuery,
        layout::{self, Place},
        parts,
        reader::Reader,
        settings::{code_first, counted},
    },
};
use actix_web::{HttpRequest, HttpResponse, http::StatusCode, web::Path};
use kv_authz::{
    KeyId, KeyState, SessionId,
    action::{
        ChangeUser, DeleteUser, ListUserApiKeys, ListUserSessions, OwnAction, ResetPassword, ResetSecondFactor,
        ShowUser,
    },
    audit::Target,
    grant::{may_give_role, may_govern},
};
use kv_store::{Page, SessionRecord, UserRecord};
use maud::{Markup, html};
use serde::Deserialize;

/// A user, and what the reader may see and do of theirs.
pub(super) struct Known {
    pub(super) user: UserRecord,
    pub(super) lines: Vec<AssignedTo>,
    /// The roles that the reader may give.
    pub(super) roles: Vec<String>,
    /// The clusters that the reader may know of.
    pub(super) clusters: Vec<String>,
    /// Their keys, as the table is turned.
    pub(super) keys: Option<Overview>,
    /// The key that is asked about, unless it is revoked by now.
    key: Option<Listed>,
    pub(super) sessions: Option<Page<SessionRecord>>,
    /// The session that is asked about, unless it is over by now.
    pub(super) session: Option<SessionRecord>,
    /// Whether the reader holds all that they hold, wherever they do.
    pub(super) governed: bool,
    /// Whether the reader may give their role more places.
    pub(super) assignable: bool,
}

impl Known {
    /// Where the page is.
    pub(super) fn address(&self) -> String {
        format!("{HERE}/{}", self.user.id)
    }

    /// The key that is asked about, if it is not revoked.
    pub(super) fn key(&self) -> Option<&Listed> {
        self.key.as_ref().filter(|listed| listed.state != KeyState::Revoked)
    }
}

/// What of a user's an act asks about, beside the user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum About {
    Nothing,
    Key(KeyId),
    Session(SessionId),
}

/// How the tables of the page are turned.
#[derive(Debug, Default)]
pub(super) struct Tables {
    keys: TableQuery,
    sessions: SessionsQuery,
}

/// What the table of sessions takes in its address.
#[derive(Debug, Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct SessionsQuery {
    /// Where its page begins, if it is not the first.
    pub(super) cursor: Option<String>,
}

/// Reads a user, for whoever may do the act.
///
/// # Errors
/// [`Failure`].
pub(super) async fn load<A: OwnAction>(
    caller: &Caller,
    user: &str,
    tables: &Tables,
    about: About,
) -> Result<Known, Failure> {
    let (filter, request) = tables.keys.wanted()?;
    let some = page(None, tables.sessions.cursor.as_deref())?;
    let app = caller.app();
    caller
        .observe(A::line().event, users(), async |view| {
            let acting = caller.acting(view);
            let id = known::<A>(user, &acting)?;
            acting.authorize::<A>(users())?;
            let user = list_users::show_user(&acting, id).await?;
            let keys = match acting.authorize::<ListUserApiKeys>(Target::of("api-keys")) {
                Ok(_) => Some(list_api_keys::survey_user_api_keys(&acting, id, filter, request).await?),
                Err(_) => None,
            };
            let (mut key, mut session) = (None, None);
            match about {
                About::Nothing => {}
                About::Key(wanted) => key = Some(list_api_keys::show_user_api_key(&acting, id, wanted).await?),
                About::Session(wanted) => session = sessions::find_user_session(&acting, id, wanted).await?,
            }
            let sessions = match acting.authorize::<ListUserSessions>(Target::of("sessions")) {
                Ok(_) => Some(sessions::list_user_sessions(&acting, id, some).await?),
                Err(_) => None,
            };
            let clusters = list_clusters::list_clusters(view, app.policy(), app.clock.now())?;
            Ok(Known {
                lines: assigned(&user.assignments, view),
                roles: names_of(givable(&acting).await?),
                clusters: clusters.into_iter().map(|cluster| cluster.name.clone()).collect(),
                keys,
                key,
                sessions,
                session,
                governed: may_govern(acting.principal, &user.role, &user.assignments).is_ok(),
                assignable: may_give_role(acting.principal, &user.role).is_ok(),
                user,
            })
        })
        .await
}

/// What lies over a user's page, or stands in its forms.
#[derive(Default)]
pub(super) struct Over {
    pub(super) dialog: Option<Markup>,
    pub(super) typed: sections::Typed,
    pub(super) status: StatusCode,
}

impl Over {
    /// A dialog.
    pub(super) fn dialog(dialog: Markup) -> Self {
        Self { dialog: Some(dialog), ..Self::default() }
    }
}

/// Shows a user.
///
/// # Errors
/// [`Failure`]: 404 for a user there is not.
pub async fn show(caller: Caller, request: HttpRequest, path: Path<String>) -> Result<HttpResponse, Failure> {
    caller.about(ShowUser::line().event, users());
    let tables = Tables { keys: query(&request)?, ..Tables::default() };
    turned(&caller, &request, &path, &tables).await
}

/// The same with another page of the sessions.
///
/// # Errors
/// [`Failure`]: 404 for a user there is not.
pub async fn show_sessions(caller: Caller, request: HttpRequest, path: Path<String>) -> Result<HttpResponse, Failure> {
    caller.about(ShowUser::line().event, users());
    let tables = Tables { sessions: query(&request)?, ..Tables::default() };
    turned(&caller, &request, &path, &tables).await
}

async fn turned(caller: &Caller, request: &HttpRequest, user: &str, tables: &Tables) -> Result<HttpResponse, Failure> {
    let known = load::<ShowUser>(caller, user, tables, About::Nothing).await?;
    let reader = Reader::new(caller, request)?;
    Ok(user_page(&reader, &known, tables, Over::default()))
}

/// Shows a user's page with what an act asks; first where a code is shown, for those who owe one. Where there is nothing to
/// ask about any more, the page itself tells.
///
/// # Errors
/// [`Failure`].
pub(super) async fn ask<A: OwnAction>(
    caller: &Caller,
    request: &HttpRequest,
    user: &str,
    over: impl FnOnce(&Reader, &Known) -> Option<Over>,
) -> Result<HttpResponse, Failure> {
    ask_about::<A>(caller, request, user, About::Nothing, over).await
}

/// The same about one of their keys or sessions.
///
/// # Errors
/// [`Failure`]: 404 where they have no such key.
pub(super) async fn ask_about<A: OwnAction>(
    caller: &Caller,
    request: &HttpRequest,
    user: &str,
    about: About,
    over: impl FnOnce(&Reader, &Known) -> Option<Over>,
) -> Result<HttpResponse, Failure> {
    caller.about(A::line().event, users());
    if let Some(first) = code_first::<A>(caller, request).await? {
        return Ok(first);
    }
    let tables = Tables::default();
    let known = load::<A>(caller, user, &tables, about).await?;
    let reader = Reader::new(caller, request)?;
    match over(&reader, &known) {
        Some(over) => Ok(user_page(&reader, &known, &tables, over)),
        None => Ok(crate::pages::error::see_other(&known.address())),
    }
}

/// Shows a user's page once more, with what was refused.
///
/// # Errors
/// [`Failure`].
pub(super) async fn again(
    caller: &Caller,
    request: &HttpRequest,
    user: &str,
    over: impl FnOnce(&Reader, &Known) -> Over,
) -> Result<HttpResponse, Failure> {
    let tables = Tables::default();
    let known = load::<ShowUser>(caller, user, &tables, About::Nothing).await?;
    let reader = Reader::new(caller, request)?;
    Ok(user_page(&reader, &known, &tables, over(&reader, &known)))
}

fn user_page(reader: &Reader, known: &Known, tables: &Tables, over: Over) -> HttpResponse {
    let t = &reader.texts.users;
    let user = &known.user;
    layout::Page {
        reader,
        place: Place::Users,
        title: &user.name,
        over: html! { a href=(HERE) { (t.title) } },
        about: html! { (status(reader, user)) " " (t.acts_at_once) },
        actions: actions(reader, known),
        main: html! {
            @if let Some(words) = done_to_many(reader) { (parts::notice(&words)) }
            (sections::role(reader, known, &over.typed))
            (sections::assignments(reader, known, &over.typed))
            @if let Some(keys) = &known.keys { (sections::keys(reader, known, keys, &tables.keys)) }
            @if let Some(sessions) = &known.sessions { (sections::sessions(reader, known, sessions, &tables.sessions)) }
            (sections::facts(reader, user))
        },
        dialog: over.dialog,
        status: over.status,
    }
    .answer()
}

fn actions(reader: &Reader, known: &Known) -> Markup {
    let (t, user, here) = (&reader.texts.users, &known.user, known.address());
    if !known.governed {
        return html! {};
    }
    html! {
        @if reader.may::<ResetPassword>() { a.btn href={ (here) "/reset-password" } { (t.reset_password) } }
        @if user.has_second_factor && reader.may::<ResetSecondFactor>() {
            a.btn href={ (here) "/reset-second-factor" } { (t.reset_second_factor) }
        }
        @if reader.may::<ChangeUser>() {
            @if user.disabled_at.is_some() { a.btn href={ (here) "/enable" } { (t.enable) } }
            @else { a.btn.risky href={ (here) "/disable" } { (t.disable) } }
        }
        @if reader.may::<DeleteUser>() { a.btn.risky href={ (here) "/delete" } { (t.delete) } }
    }
}

/// What was just done to many, with their number.
fn done_to_many(reader: &Reader) -> Option<String> {
    let t = &reader.texts.users;
    counted(reader, "revoked-all", [t.revoked_all_none, t.revoked_all_one, t.revoked_all])
        .or_else(|| counted(reader, "ended", [t.ended_none, t.ended_one, t.ended]))
}
