//! The recovery codes: made anew on a code, and shown.
//!
//! They are in the answer to the form that made them, and in no other page.

use super::{HERE, Wrong, factors, frame, load, overview};
use crate::{
    caller::Caller,
    failure::Failure,
    operations::second_factor,
    pages::{error::see_other, form::Form, parts::Dialog, reader::Reader, sign_in::shown},
    routes::no_query,
};
use actix_web::{HttpRequest, HttpResponse, http::StatusCode};
use kv_authz::audit::Event;
use maud::html;
use secrecy::{ExposeSecret, SecretString};

/// Where they are made.
pub(super) const PATH: &str = "/profile/security/recovery-codes";

/// Shows the dialog that makes new ones.
///
/// # Errors
/// [`Failure`].
pub async fn ask(caller: Caller, request: HttpRequest) -> Result<HttpResponse, Failure> {
    caller.about(Event::TotpRecoveryCodes, factors());
    no_query(&request)?;
    let reader = Reader::new(&caller, &request)?;
    dialog(&caller, &reader, &Wrong::default()).await
}

/// Makes new ones, and shows them.
///
/// # Errors
/// [`Failure`].
pub async fn renew(caller: Caller, request: HttpRequest, form: Form) -> Result<HttpResponse, Failure> {
    caller.about(Event::TotpRecoveryCodes, factors());
    no_query(&request)?;
    form.only(&["code"], &[])?;
    let reader = Reader::new(&caller, &request)?;
    let shown = shown(&form);
    let made = caller
        .act(Event::TotpRecoveryCodes, factors(), async |view| {
            second_factor::renew_recovery_codes(&caller.acting(view), &shown).await
        })
        .await;
    match made {
        Ok(codes) => Ok(once(&reader, &codes, reader.texts.codes.renewed, HERE)),
        Err(Failure::Conflict { code: "no_second_factor", .. }) => Ok(see_other(HERE)),
        Err(failure) => dialog(&caller, &reader, &Wrong::of_code(failure)?).await,
    }
}

async fn dialog(caller: &Caller, reader: &Reader, wrong: &Wrong) -> Result<HttpResponse, Failure> {
    let known = load(caller, None).await?;
    if !known.oneself.has_second_factor {
        return Ok(see_other(HERE));
    }
    let t = &reader.texts.codes;
    let dialog = Dialog {
        title: t.ask_title,
        lead: html! { (t.ask_about) },
        fields: wrong.field(reader.texts),
        action: PATH,
        cancel: HERE,
        button: t.ask_action,
        busy: t.ask_busy,
        danger: false,
    };
    Ok(wrong.on(overview(reader, &known, Some(dialog.markup(reader)), wrong.status)))
}

/// The one sight of them. Nothing is read for the page behind: it must not fail now.
pub(super) fn once(reader: &Reader, codes: &[SecretString], known: &str, next: &str) -> HttpResponse {
    let t = &reader.texts.codes;
    let dialog = html! {
        dialog.narrow open data-modal aria-labelledby="dialog-title" {
            h2 #dialog-title { (t.title) }
            p { (t.about) }
            ul #codes.codes data-secret data-forget-url=(HERE) {
                @for (n, code) in codes.iter().enumerate() {
                    // What is copied has each on a line of its own.
                    @if n > 0 { "\n" }
                    li { code { (code.expose_secret()) } }
                }
            }
            p.notice.warn { (known) }
            div.actions {
                button.btn type="button" data-copy="codes" data-copied=(t.copied) hidden autofocus { (t.copy) }
                a.btn.primary href=(next) data-forget { (t.stored) }
            }
        }
    };
    frame(reader, html! {}, Some(dialog), StatusCode::OK)
}
