//! The second factor: where it is set up, brought into force by a first code, and given up.
//!
//! Its secret is in the answer to the form that drew it, and in no other page. Whoever must have a second factor and lacks
//! it comes here first, and finds nothing else here than this and the way out.

use super::{HERE, Wrong, factors, load, must_enrol, overview, recovery_codes};
use crate::{
    auth::totp,
    caller::Caller,
    failure::Failure,
    operations::{second_factor, show_oneself::show_oneself},
    pages::{
        cookies,
        error::see_other,
        form::Form,
        layout::{self, Page, Place, drawing, hidden},
        parts::{self, Dialog},
        reader::Reader,
        settings::done_at,
        sign_in::{add, shown},
        texts::said,
    },
    routes::no_query,
};
use actix_web::{HttpRequest, HttpResponse, http::StatusCode};
use kv_authz::audit::{Event, Target};
use maud::{Markup, html};
use secrecy::{ExposeSecret, SecretString};

/// Where it is set up.
pub(super) const PATH: &str = "/profile/security/second-factor";
/// Where it is given up.
pub(super) const OFF: &str = "/profile/security/second-factor/off";
/// Where its first code is sent.
const ENABLE: &str = "/profile/security/second-factor/enable";

/// Explains what is about to be set up.
///
/// # Errors
/// [`Failure`].
pub async fn show(caller: Caller, request: HttpRequest) -> Result<HttpResponse, Failure> {
    let users = || Target::of("users");
    caller.about(Event::AuthShow, users());
    no_query(&request)?;
    let oneself =
        caller.observe(Event::AuthShow, users(), async |view| show_oneself(&caller.acting(view)).await).await?;
    if oneself.has_second_factor {
        return Ok(see_other(HERE));
    }
    let reader = Reader::new(&caller, &request)?;
    Ok(page(&reader, StatusCode::OK, beginning(&reader, None)))
}

/// Draws a second factor, and shows it.
///
/// # Errors
/// [`Failure`].
pub async fn set_up(caller: Caller, request: HttpRequest, form: Form) -> Result<HttpResponse, Failure> {
    caller.about(Event::TotpSetUp, factors());
    no_query(&request)?;
    form.only(&[], &[])?;
    let reader = Reader::new(&caller, &request)?;
    let drawn =
        caller.act(Event::TotpSetUp, factors(), async |view| second_factor::set_up(&caller.acting(view)).await).await;
    match drawn {
        Ok(drawn) => Ok(page(&reader, StatusCode::OK, once(&reader, &drawn))),
        Err(Failure::Conflict { code: "second_factor_enabled", .. }) => Ok(see_other(HERE)),
        Err(failure) => Err(failure),
    }
}

/// The page of a first code that was asked for without its form: what it belongs to is shown no more.
///
/// # Errors
/// [`Failure`].
pub async fn enable_gone(caller: Caller, request: HttpRequest) -> Result<HttpResponse, Failure> {
    caller.about(Event::AuthShow, factors());
    no_query(&request)?;
    caller.observe(Event::AuthShow, factors(), async |_| Ok(())).await?;
    Ok(see_other(PATH))
}

/// Brings it into force, and shows the recovery codes.
///
/// # Errors
/// [`Failure`].
pub async fn enable(caller: Caller, request: HttpRequest, form: Form) -> Result<HttpResponse, Failure> {
    caller.about(Event::TotpEnable, factors());
    no_query(&request)?;
    form.only(&["code"], &[])?;
    let reader = Reader::new(&caller, &request)?;
    // Authenticator apps show the digits in two groups.
    let code = SecretString::from(form.text("code").replace(' ', ""));
    let made = caller
        .act(Event::TotpEnable, factors(), async |view| second_factor::enable(&caller.acting(view), &code).await)
        .await;
    match made {
        Ok(codes) => {
            let next = if must_enrol(&reader) { "/" } else { HERE };
            Ok(recovery_codes::once(&reader, &codes, reader.texts.codes.first, next))
        }
        // The form was sent twice.
        Err(Failure::Conflict { code: "second_factor_enabled", .. }) => Ok(see_other(HERE)),
        Err(Failure::Conflict { code: "no_second_factor", .. }) => {
            Ok(page(&reader, StatusCode::CONFLICT, beginning(&reader, Some(reader.texts.factor.gone))))
        }
        Err(failure) => {
            let wrong = Wrong::of_code(failure)?;
            Ok(wrong.on(page(&reader, wrong.status, again(&reader, &wrong))))
        }
    }
}

/// Shows the dialog that gives it up.
///
/// # Errors
/// [`Failure`].
pub async fn ask_off(caller: Caller, request: HttpRequest) -> Result<HttpResponse, Failure> {
    caller.about(Event::TotpDisable, factors());
    no_query(&request)?;
    let reader = Reader::new(&caller, &request)?;
    off_dialog(&caller, &reader, &Wrong::default()).await
}

/// Gives it up.
///
/// # Errors
/// [`Failure`].
pub async fn off(caller: Caller, request: HttpRequest, form: Form) -> Result<HttpResponse, Failure> {
    caller.about(Event::TotpDisable, factors());
    no_query(&request)?;
    form.only(&["code"], &[])?;
    let reader = Reader::new(&caller, &request)?;
    let shown = shown(&form);
    let done = caller
        .act(Event::TotpDisable, factors(), async |view| second_factor::disable(&caller.acting(view), &shown).await)
        .await;
    match done {
        Ok(()) => Ok(done_at(HERE, "factor-off")),
        Err(Failure::Conflict { code: "no_second_factor", .. }) => Ok(see_other(HERE)),
        Err(failure) => off_dialog(&caller, &reader, &Wrong::of_code(failure)?).await,
    }
}

async fn off_dialog(caller: &Caller, reader: &Reader, wrong: &Wrong) -> Result<HttpResponse, Failure> {
    let known = load(caller, None).await?;
    if !known.oneself.has_second_factor {
        return Ok(see_other(HERE));
    }
    let t = &reader.texts.factor;
    let required = reader.app.policy().second_factor.includes(&known.oneself.owner.role);
    let dialog = Dialog {
        title: t.off_title,
        lead: html! { (t.off_about) @if required { " " (t.off_required) } },
        fields: wrong.field(reader.texts),
        action: OFF,
        cancel: HERE,
        button: t.off_action,
        busy: t.off_busy,
        danger: true,
    };
    Ok(wrong.on(overview(reader, &known, Some(dialog.markup(reader)), wrong.status)))
}

/// A page about setting it up: of its own where nothing else may be seen, else one among the others.
fn page(reader: &Reader, status: StatusCode, main: Markup) -> HttpResponse {
    let t = reader.texts;
    if must_enrol(reader) {
        let title = layout::titled(t, t.factor.set_up_title, status.is_client_error());
        let main = html! {
            h1 { (t.factor.set_up_title) }
            p.sub { (t.factor.required) }
            @if let Some(done) = reader.done.as_deref().and_then(|code| t.done.said(code)) { (parts::notice(done)) }
            (main)
            form method="post" action="/sign-out" {
                (hidden(reader))
                p.hint { (said_as(reader)) " " button.btn.small.plain { (t.nav.sign_out) } }
            }
        };
        let mut response = layout::html(status, layout::bare(t, &reader.app.assets.addresses, &title, main));
        if reader.done.is_some() {
            add(&mut response, &cookies::nothing_done());
        }
        return response;
    }
    Page {
        reader,
        place: Place::Security,
        title: t.factor.set_up_title,
        over: html! { a href=(HERE) { (t.security.title) } },
        about: html! { (t.factor.set_up_about) },
        actions: html! {},
        main,
        dialog: None,
        status,
    }
    .answer()
}

fn said_as(reader: &Reader) -> String {
    said(reader.texts.nav.signed_in_as, reader.name())
}

fn beginning(reader: &Reader, trouble: Option<&str>) -> Markup {
    let t = &reader.texts.factor;
    html! {
        @if let Some(words) = trouble { (parts::alert(words)) }
        @if must_enrol(reader) { p.hint { (t.set_up_about) } }
        p.hint { (t.others_end) }
        form method="post" action=(PATH) {
            (hidden(reader))
            (press(reader, t.begin, t.beginning))
        }
    }
}

/// The one sight of its secret.
fn once(reader: &Reader, drawn: &totp::Shown) -> Markup {
    let t = &reader.texts.factor;
    html! {
        (line(reader, t.scan))
        div.qr data-secret data-forget-url=(PATH) role="img" aria-label=(t.picture) {
            (drawing(drawn.qr.expose_secret()))
        }
        div.field {
            p.hint { (t.typed) }
            div.copy {
                code #secret data-secret { (in_groups(drawn.secret.expose_secret())) }
                button.btn type="button" data-copy="secret" data-copied=(t.copied) hidden { (t.copy) }
            }
        }
        (first_code(reader, None))
    }
}

/// A wrong code, once more. The secret is not shown again; it has not changed.
fn again(reader: &Reader, wrong: &Wrong) -> Markup {
    let t = &reader.texts.factor;
    html! {
        (wrong.alert())
        (line(reader, t.still))
        (first_code(reader, wrong.code.then_some(t.wrong_code)))
        div.field { p.hint { a href=(PATH) { (t.again) } } }
    }
}

fn first_code(reader: &Reader, error: Option<&str>) -> Markup {
    let t = &reader.texts.factor;
    html! {
        form method="post" action=(ENABLE) {
            (hidden(reader))
            div.field {
                label for="code" { (t.code) }
                input #code.code name="code" inputmode="numeric" autocomplete="one-time-code" required autofocus
                    aria-invalid=[error.map(|_| "true")]
                    aria-describedby=[parts::described("code", t.code_hint, error)];
                (parts::below("code", t.code_hint, error))
            }
            (press(reader, t.enable, t.enabling))
        }
    }
}

/// What is said first. On a page of its own it has a distance to what stands above.
fn line(reader: &Reader, words: &str) -> Markup {
    html! { p class=[must_enrol(reader).then_some("hint")] { (words) } }
}

/// The button of a form. On a page of its own it has its distance already.
fn press(reader: &Reader, label: &str, busy: &str) -> Markup {
    html! {
        div class=[(!must_enrol(reader)).then_some("field")] { button.btn.primary data-busy=(busy) { (label) } }
    }
}

/// A secret in groups of four, to be typed without losing one's place.
fn in_groups(secret: &str) -> String {
    let letters: Vec<char> = secret.chars().collect();
    letters.chunks(4).map(String::from_iter).collect::<Vec<_>>().join(" ")
}
