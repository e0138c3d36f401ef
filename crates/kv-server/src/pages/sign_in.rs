//! The pages before anyone is signed in: name and password, then the second factor; and signing out.
//!
//! Where somebody is led afterwards is a path of this server, whatever the address says.

use super::{
    cookies,
    error::{detail, leading_back, see_other},
    form::{Form, TOKEN},
    layout,
    parts::{self, Field},
    settings::done_at,
    texts::{self, Texts},
};
use crate::{
    api::{auth::visit, input::query},
    app::App,
    auth::opaque::{Kind, Opaque},
    caller::Caller,
    failure::Failure,
    operations::{
        prove::Shown,
        sign_in::{self, SignedIn},
        sign_out,
        visit::Means,
    },
    paths::check_path,
    problem::{Problem, seconds_to_wait},
    routes::no_query,
};
use actix_web::{
    HttpRequest, HttpResponse, ResponseError,
    http::{StatusCode, Uri, header},
    web::Data,
};
use kv_authz::audit::{Event, Target};
use maud::{Markup, html};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use std::sync::Arc;
use time::Duration;

/// How far the clocks of server and database may be apart.
const ABOUT_TO_END: Duration = Duration::MINUTE;

/// What the pages take in their address.
#[derive(Debug, Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub struct Way {
    /// Where to go afterwards.
    next: Option<String>,
}

impl Way {
    pub(super) fn of(request: &HttpRequest) -> Result<Self, Failure> {
        query(request)
    }

    /// Where to go afterwards: a path of ours, or the start page.
    pub(super) fn next(&self) -> &str {
        let ours = |address: &str| {
            let uri: Uri = address.parse().ok()?;
            (uri.authority().is_none() && check_path(uri.path()).is_ok()).then_some(())
        };
        self.next.as_deref().filter(|next| ours(next).is_some()).unwrap_or("/")
    }
}

/// What is wrong, and in which form.
struct Trouble {
    status: StatusCode,
    words: String,
    /// In how many seconds to come again.
    wait: Option<u64>,
}

impl Trouble {
    fn of(t: &Texts, failure: &Failure) -> Self {
        let words = match failure.code() {
            "invalid_credentials" => t.sign_in.refused.into(),
            "invalid_code" => t.sign_in.wrong_code.into(),
            "invalid_mfa_token" => t.sign_in.over.into(),
            _ => detail(failure, &Problem::new(failure, "")),
        };
        Self { status: failure.status_code(), words, wait: seconds_to_wait(failure) }
    }
}

/// Shows where to sign in.
///
/// # Errors
/// [`Failure`].
pub async fn show(app: Data<Arc<App>>, request: HttpRequest) -> Result<HttpResponse, Failure> {
    let way = Way::of(&request)?;
    if is_signed_in(&app, &request).await {
        return Ok(see_other(way.next()));
    }
    password_page(&app, &request, &way, "", None)
}

/// Whether a session of this browser goes on, so that nobody begins a second one beside it. One that is about to be over does
/// not count: where it is refused leads back here.
async fn is_signed_in(app: &Arc<App>, request: &HttpRequest) -> bool {
    let Ok(presented) = cookies::present(request) else { return false };
    let Ok(Some(authority)) = app.authorities.get(&presented).await else { return false };
    let (owner, credential, soon) = (authority.owner.id, authority.credential, app.clock.now() + ABOUT_TO_END);
    let dead = app.with_store(move |store| store.dead_among(owner, &[credential], soon)).await;
    dead.is_ok_and(|dead| dead.is_empty())
}

/// Takes name and password.
///
/// # Errors
/// [`Failure`].
pub async fn submit(app: Data<Arc<App>>, request: HttpRequest, form: Form) -> Result<HttpResponse, Failure> {
    let way = Way::of(&request)?;
    form.only(&["username", "password"], &[])?;
    let name = form.text("username").trim();
    match sign_in::sign_in(&visit(&app, &request, Means::Cookie)?, name, form.secret("password")).await {
        Ok(SignedIn::Cookie(token)) => Ok(signed_in(&way, &token)),
        Ok(SignedIn::SecondFactorRequired(challenge)) => code_page(&app, &request, &way, &challenge, None),
        Ok(SignedIn::Session(_)) => Err(Failure::Internal { step: "a browser was given tokens", source: None }),
        Err(failure) if failure.status() >= 500 && !matches!(failure, Failure::Busy) => Err(failure),
        Err(failure) => password_page(&app, &request, &way, name, Some(Trouble::of(texts::of(&request), &failure))),
    }
}

/// Takes a code of the second factor, or a recovery code.
///
/// # Errors
/// [`Failure`].
pub async fn submit_code(app: Data<Arc<App>>, request: HttpRequest, form: Form) -> Result<HttpResponse, Failure> {
    let way = Way::of(&request)?;
    form.only(&["challenge", "code"], &[])?;
    let challenge = form.secret("challenge");
    match sign_in::show_second_factor(&visit(&app, &request, Means::Cookie)?, &challenge, shown(&form)).await {
        Ok(SignedIn::Cookie(token)) => Ok(signed_in(&way, &token)),
        Ok(_) => Err(Failure::Internal { step: "a browser was given tokens", source: None }),
        Err(failure) if failure.status() >= 500 => Err(failure),
        Err(failure) => {
            let trouble = Some(Trouble::of(texts::of(&request), &failure));
            match failure.code() {
                "invalid_mfa_token" => password_page(&app, &request, &way, "", trouble),
                _ => code_page(&app, &request, &way, &challenge, trouble),
            }
        }
    }
}

/// A code page that was asked for without a form: its challenge is gone.
///
/// # Errors
/// [`Failure`].
pub async fn code_gone(request: HttpRequest) -> Result<HttpResponse, Failure> {
    let way = Way::of(&request)?;
    Ok(see_other(&leading_back("/sign-in", way.next())))
}

/// What was typed into the field that takes either code.
pub(super) fn shown(form: &Form) -> Shown {
    let typed = form.text("code");
    let is_totp = typed.trim().len() <= 8 && typed.trim().bytes().all(|b| b.is_ascii_digit() || b == b' ');
    let code = SecretString::from(if is_totp { typed.replace(' ', "") } else { typed.trim().to_owned() });
    if is_totp { Shown::new(Some(code), None) } else { Shown::new(None, Some(code)) }
}

/// Signs out.
///
/// # Errors
/// [`Failure`].
pub async fn sign_out(caller: Caller, request: HttpRequest, form: Form) -> Result<HttpResponse, Failure> {
    let sessions = || Target::of("sessions");
    caller.about(Event::AuthLogout, sessions());
    no_query(&request)?;
    form.only(&[], &[])?;
    caller.act(Event::AuthLogout, sessions(), async |view| sign_out::sign_out(caller.acting(view)).await).await?;
    Ok(signed_out("signed-out"))
}

/// The answer to what ended the session that is calling: where to sign in, which says what was done.
pub(super) fn signed_out(code: &str) -> HttpResponse {
    let mut response = done_at("/sign-in", code);
    add(&mut response, &cookies::no_session());
    add(&mut response, &cookies::nothing_kept());
    response
}

/// Adds a cookie; one of ours always has a written form.
pub(super) fn add(response: &mut HttpResponse, cookie: &actix_web::cookie::Cookie<'_>) {
    if let Err(error) = response.add_cookie(cookie) {
        tracing::error!(%error, "a cookie cannot be written");
    }
}

fn signed_in(way: &Way, token: &SecretString) -> HttpResponse {
    let mut response = see_other(way.next());
    add(&mut response, &cookies::session(token));
    response
}

/// Answers with a page for a visitor, who is given a cookie if they have none yet.
fn answer(
    app: &App,
    request: &HttpRequest,
    trouble: Option<&Trouble>,
    page: impl FnOnce(&str) -> Markup,
) -> Result<HttpResponse, Failure> {
    let known = cookies::form_token(request, false);
    let (token, cookie) = match known {
        Some(token) => (token, None),
        None => {
            let drawn = Opaque::draw(Kind::Visitor, &app.random)?;
            (super::form::token(&drawn.text), Some(cookies::visitor(&drawn.text)))
        }
    };
    let status = trouble.map_or(StatusCode::OK, |trouble| trouble.status);
    let mut response = layout::html(status, page(&token));
    if let Some(wait) = trouble.and_then(|trouble| trouble.wait) {
        response.headers_mut().insert(header::RETRY_AFTER, wait.into());
    }
    if let Some(cookie) = cookie {
        add(&mut response, &cookie);
    }
    if cookies::done(request).is_some() {
        add(&mut response, &cookies::nothing_done());
    }
    Ok(response)
}

fn address(path: &str, way: &Way) -> String {
    if way.next() == "/" { path.into() } else { leading_back(path, way.next()) }
}

fn password_page(
    app: &App,
    request: &HttpRequest,
    way: &Way,
    name: &str,
    trouble: Option<Trouble>,
) -> Result<HttpResponse, Failure> {
    let t = texts::of(request);
    let done = cookies::done(request).filter(|_| trouble.is_none());
    let said = done.and_then(|code| match code.as_str() {
        "signed-out" => Some(t.sign_in.signed_out),
        code => t.done.said(code),
    });
    answer(app, request, trouble.as_ref(), |token| {
        layout::bare(
            t,
            &app.assets.addresses,
            &layout::titled(t, t.sign_in.title, trouble.is_some()),
            html! {
                h1 { (t.sign_in.title) }
                p.sub { (t.sign_in.about) }
                @if let Some(said) = said { (parts::notice(said)) }
                @if let Some(trouble) = &trouble { (parts::alert(&trouble.words)) }
                form method="post" action=(address("/sign-in", way)) {
                    input type="hidden" name=(TOKEN) value=(token);
                    (Field { name: "username", label: t.sign_in.name, value: name, autocomplete: "username", first: name.is_empty(), ..Field::default() })
                    (Field {
                        name: "password", label: t.sign_in.password, kind: "password", autocomplete: "current-password",
                        first: !name.is_empty(), ..Field::default()
                    })
                    button.btn.primary data-busy=(t.sign_in.busy) { (t.sign_in.action) }
                }
            },
        )
    })
}

fn code_page(
    app: &App,
    request: &HttpRequest,
    way: &Way,
    challenge: &SecretString,
    trouble: Option<Trouble>,
) -> Result<HttpResponse, Failure> {
    let t = texts::of(request);
    answer(app, request, trouble.as_ref(), |token| {
        layout::bare(
            t,
            &app.assets.addresses,
            &layout::titled(t, t.sign_in.code_title, trouble.is_some()),
            html! {
                h1 { (t.sign_in.code_title) }
                p.sub { (t.sign_in.code_about) }
                form method="post" action=(address("/sign-in/code", way)) {
                    input type="hidden" name=(TOKEN) value=(token);
                    input type="hidden" name="challenge" value=(challenge.expose_secret());
                    (parts::code_field(t, trouble.as_ref().map(|trouble| trouble.words.as_str())))
                    button.btn.primary data-busy=(t.sign_in.busy) { (t.sign_in.code_action) }
                    p.hint { a href=(address("/sign-in", way)) { (t.sign_in.again) } }
                }
            },
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_leads_to_paths_of_this_server_alone() {
        let next = |text: &str| Way { next: Some(text.into()) }.next().to_owned();
        assert_eq!(next("/profile/api-keys?state=revoked"), "/profile/api-keys?state=revoked");
        for elsewhere in [
            "",
            "//evil.example",
            "https://evil.example/",
            "/\\evil.example",
            "/%2fevil",
            "javascript:alert(1)",
            "evil.example",
            "/a\nb",
            "/../x",
        ] {
            assert_eq!(next(elsewhere), "/", "{elsewhere}");
        }
    }
}
