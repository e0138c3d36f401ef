//! The cookies of pages: the session, the visitor who is still to sign in, what was just done, and what was typed before a code
//! was asked for. All of them are bound to this host, sent over TLS alone (or to the machine itself), and out of reach of scripts.
//!
//! Nothing is decided by a cookie but whose session it is.

use super::form;
use crate::{
    auth::{
        NotPresented, Presented,
        opaque::{Kind, Opaque},
    },
    operations::sign_in::SESSION_LIFETIME,
};
use actix_web::{
    HttpRequest,
    cookie::{Cookie, SameSite, time::Duration},
    http::header,
};
use secrecy::{ExposeSecret, SecretString};

/// The session's. The prefix has browsers refuse it from other hosts and without TLS (RFC 6265bis §4.1.3.2).
const SESSION: &str = "__Host-kv_session";
/// A visitor's: by it the form for signing in is known to be one of ours.
const VISITOR: &str = "__Host-kv_visitor";
/// What was just done, to be said on the next page.
const DONE: &str = "__Host-kv_done";

/// What was typed, while a code is shown.
const KEPT: &str = "__Host-kv_kept";

/// That a download has begun.
const BEGUN: &str = "__Host-kv_begun";

/// Reads the session of a request for a page.
///
/// # Errors
/// [`NotPresented`]: ambiguous where a credential was sent besides.
pub fn present(request: &HttpRequest) -> Result<Presented, NotPresented> {
    let Some(sent) = value(request, SESSION) else { return Err(NotPresented::Missing) };
    let digest = Opaque::digest(Kind::Cookie, &sent).ok_or(NotPresented::Missing)?;
    if request.headers().contains_key(header::AUTHORIZATION) {
        return Err(NotPresented::Ambiguous);
    }
    Ok(Presented::Cookie(digest))
}

/// What stands in the forms of a page, so that they are known to be from a page of this browser.
pub(super) fn form_token(request: &HttpRequest, signed_in: bool) -> Option<String> {
    let cookie = value(request, if signed_in { SESSION } else { VISITOR })?;
    Some(form::token(&cookie))
}

/// A code of what was just done.
pub(super) fn done(request: &HttpRequest) -> Option<String> {
    request.cookie(DONE).map(|cookie| cookie.value().to_owned())
}

fn value(request: &HttpRequest, name: &str) -> Option<SecretString> {
    request.cookie(name).map(|cookie| SecretString::from(cookie.value()))
}

/// Carries a session.
pub(super) fn session(token: &SecretString) -> Cookie<'static> {
    lasting(SESSION, token.expose_secret(), SESSION_LIFETIME.whole_seconds())
}

/// Carries a visitor.
pub(super) fn visitor(token: &SecretString) -> Cookie<'static> {
    lasting(VISITOR, token.expose_secret(), SESSION_LIFETIME.whole_seconds())
}

/// Carries what was just done.
pub(super) fn just_done(code: &str) -> Cookie<'static> {
    lasting(DONE, code, 60)
}

/// Carries what was typed, for as long as looking up a code may take.
pub(super) fn kept(written: &str) -> Cookie<'static> {
    lasting(KEPT, written, 600)
}

/// What was typed, in its written form.
pub(super) fn what_is_kept(request: &HttpRequest) -> Option<String> {
    request.cookie(KEPT).map(|cookie| cookie.value().to_owned())
}

/// Takes away what was typed.
pub(super) fn nothing_kept() -> Cookie<'static> {
    lasting(KEPT, "", 0)
}

/// Says that a download has begun, to the script that waits for it: the one cookie that a script reads, and it says nothing
/// else.
pub(super) fn download_begun(known_by: &str) -> Cookie<'static> {
    let mut cookie = lasting(BEGUN, known_by, 60);
    cookie.set_http_only(false);
    cookie
}

/// Takes a session from the browser.
pub(super) fn no_session() -> Cookie<'static> {
    lasting(SESSION, "", 0)
}

/// Takes away what was said.
pub(super) fn nothing_done() -> Cookie<'static> {
    lasting(DONE, "", 0)
}

fn lasting(name: &'static str, value: &str, seconds: i64) -> Cookie<'static> {
    Cookie::build(name, value.to_owned())
        .path("/")
        .secure(true)
        .http_only(true)
        // Links from elsewhere lead to where they point; forms from elsewhere are refused by their token and origin.
        .same_site(SameSite::Lax)
        .max_age(Duration::seconds(seconds))
        .finish()
}
