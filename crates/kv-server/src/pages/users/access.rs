//! A user's keys and sessions: one of them, or all, revoked or ended. Each is a dialog over the user's page.
//!
//! No key is shown here, and none is made.

use super::{
    HERE,
    user::{About, Known, Over, ask, ask_about},
};
use crate::{
    api::{input::id, users::known},
    caller::Caller,
    failure::Failure,
    operations::{revoke_api_key, sessions},
    pages::{
        api_keys::revoke_lead, error::see_other, form::Form, parts::Dialog, reader::Reader, security::sessions::client,
        settings::done_at, texts::said,
    },
    routes::no_query,
};
use actix_web::{HttpRequest, HttpResponse, web::Path};
use kv_authz::{
    action::{EndUserSessions, RevokeUserApiKeys},
    audit::{Event, Target},
};
use maud::{Markup, html};

fn keys() -> Target {
    Target::of("api-keys")
}

/// A dialog without fields: its heading and what it says, its button and that meanwhile, and where its form is sent.
fn dialog(reader: &Reader, known: &Known, title: &str, lead: Markup, button: [&str; 2], place: &str) -> Over {
    let here = known.address();
    let [button, busy] = button;
    Over::dialog(
        Dialog {
            title,
            lead,
            fields: html! {},
            action: &format!("{here}/{place}"),
            cancel: &here,
            button,
            busy,
            danger: true,
        }
        .markup(reader),
    )
}

/// Shows the dialog that revokes a key of a user.
///
/// # Errors
/// [`Failure`].
pub async fn ask_to_revoke(
    caller: Caller,
    request: HttpRequest,
    path: Path<(String, String)>,
) -> Result<HttpResponse, Failure> {
    no_query(&request)?;
    let (user, key) = path.into_inner();
    let key = id(&key, "API key")?;
    ask_about::<RevokeUserApiKeys>(&caller, &request, &user, About::Key(key), |reader, known| {
        let listed = known.key()?;
        let (d, k) = (&reader.texts.user_dialogs, &reader.texts.keys);
        let lead = html! { (said(d.revoke_of, &known.user.name)) " " (revoke_lead(reader, listed)) };
        let place = format!("api-keys/{}/revoke", listed.key.id);
        let title = said(k.revoke_title, &listed.key.name);
        Some(dialog(reader, known, &title, lead, [k.revoke_action, k.revoking], &place))
    })
    .await
}

/// Revokes a key of a user.
///
/// # Errors
/// [`Failure`]: 404 where they have no such key.
pub async fn revoke(
    caller: Caller,
    request: HttpRequest,
    path: Path<(String, String)>,
    form: Form,
) -> Result<HttpResponse, Failure> {
    caller.about(Event::ApiKeyRevoke, keys());
    no_query(&request)?;
    form.only(&[], &[])?;
    let (user, key) = path.into_inner();
    caller
        .act(Event::ApiKeyRevoke, keys(), async |view| {
            let acting = caller.acting(view);
            let user = known::<RevokeUserApiKeys>(&user, &acting)?;
            acting.authorize::<RevokeUserApiKeys>(keys())?;
            let key = id(&key, "API key")?;
            revoke_api_key::revoke_user_api_key(acting, user, key, None).await
        })
        .await?;
    Ok(done_at(&format!("{HERE}/{user}"), "revoked"))
}

/// Shows the dialog that revokes all keys of a user.
///
/// # Errors
/// [`Failure`].
pub async fn ask_to_revoke_all(
    caller: Caller,
    request: HttpRequest,
    path: Path<String>,
) -> Result<HttpResponse, Failure> {
    no_query(&request)?;
    ask::<RevokeUserApiKeys>(&caller, &request, &path, |reader, known| {
        let d = &reader.texts.user_dialogs;
        let lead = match known.keys.as_ref()?.counts.live {
            0 => d.revoke_all_none.to_owned(),
            1 => d.revoke_all_one.to_owned(),
            live => said(d.revoke_all_what, live),
        };
        let lead = html! { (lead) " " (d.last_word) };
        let title = said(d.revoke_all_title, &known.user.name);
        Some(dialog(reader, known, &title, lead, [d.revoke_all_action, d.revoking_all], "api-keys/revoke-all"))
    })
    .await
}

/// Revokes all keys of a user. It waits until every server has let go of them.
///
/// # Errors
/// [`Failure`].
pub async fn revoke_all(
    caller: Caller,
    request: HttpRequest,
    path: Path<String>,
    form: Form,
) -> Result<HttpResponse, Failure> {
    caller.about(Event::ApiKeyRevoke, keys());
    no_query(&request)?;
    form.only(&[], &[])?;
    let revoked = caller
        .act(Event::ApiKeyRevoke, keys(), async |view| {
            let acting = caller.acting(view);
            let user = known::<RevokeUserApiKeys>(&path, &acting)?;
            revoke_api_key::revoke_all_user_api_keys(acting, user, None).await
        })
        .await?;
    Ok(done_at(&format!("{HERE}/{path}"), &format!("revoked-all.{revoked}")))
}

/// Shows the dialog that ends a session of a user.
///
/// # Errors
/// [`Failure`].
pub async fn ask_to_end(
    caller: Caller,
    request: HttpRequest,
    path: Path<(String, String)>,
) -> Result<HttpResponse, Failure> {
    no_query(&request)?;
    let (user, session) = path.into_inner();
    let session = id(&session, "session")?;
    ask_about::<EndUserSessions>(&caller, &request, &user, About::Session(session), |reader, known| {
        let session = known.session.as_ref()?;
        let d = &reader.texts.user_dialogs;
        let lead = html! { (said(d.end_what, client(reader.texts, &session.user_agent))) };
        let place = format!("sessions/{}/end", session.id);
        Some(dialog(reader, known, &said(d.end_title, &known.user.name), lead, [d.end_action, d.ending], &place))
    })
    .await
}

/// Ends a session of a user.
///
/// # Errors
/// [`Failure`].
pub async fn end(
    caller: Caller,
    request: HttpRequest,
    path: Path<(String, String)>,
    form: Form,
) -> Result<HttpResponse, Failure> {
    let (user, session) = path.into_inner();
    let here = format!("{HERE}/{user}");
    match end_those(&caller, &request, &form, &user, Some(&session)).await {
        Ok(_) => Ok(done_at(&here, "session-ended")),
        // Over by now: the page tells.
        Err(Failure::NotFound { what: "session" }) => Ok(see_other(&here)),
        Err(failure) => Err(failure),
    }
}

/// Shows the dialog that ends all sessions of a user.
///
/// # Errors
/// [`Failure`].
pub async fn ask_to_end_all(caller: Caller, request: HttpRequest, path: Path<String>) -> Result<HttpResponse, Failure> {
    no_query(&request)?;
    ask::<EndUserSessions>(&caller, &request, &path, |reader, known| {
        let d = &reader.texts.user_dialogs;
        let title = said(d.end_all_title, &known.user.name);
        Some(dialog(reader, known, &title, html! { (d.end_all_what) }, [d.end_all_action, d.ending], "sessions/end"))
    })
    .await
}

/// Ends all sessions of a user.
///
/// # Errors
/// [`Failure`].
pub async fn end_all(
    caller: Caller,
    request: HttpRequest,
    path: Path<String>,
    form: Form,
) -> Result<HttpResponse, Failure> {
    let ended = end_those(&caller, &request, &form, &path, None).await?;
    Ok(done_at(&format!("{HERE}/{path}"), &format!("ended.{ended}")))
}

async fn end_those(
    caller: &Caller,
    request: &HttpRequest,
    form: &Form,
    user: &str,
    session: Option<&str>,
) -> Result<usize, Failure> {
    let target = || Target::of("sessions");
    caller.about(Event::SessionEnd, target());
    no_query(request)?;
    form.only(&[], &[])?;
    caller
        .act(Event::SessionEnd, target(), async |view| {
            let acting = caller.acting(view);
            let user = known::<EndUserSessions>(user, &acting)?;
            acting.authorize::<EndUserSessions>(target())?;
            let session = session.map(|text| id(text, "session")).transpose()?;
            sessions::end_user_sessions(&acting, user, session).await
        })
        .await
}
