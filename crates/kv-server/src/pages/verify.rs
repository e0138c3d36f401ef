//! Where somebody who is signed in shows a code of their second factor once more, on the way to what asks for it.
//!
//! What comes next is not begun here; the way back leads there.

use super::{
    error::{leading_back, see_other},
    form::Form,
    layout::{Page, Place},
    parts::{self, Dialog},
    reader::Reader,
    sign_in::{Way, shown},
};
use crate::{caller::Caller, failure::Failure, operations::second_factor};
use actix_web::{HttpRequest, HttpResponse, http::StatusCode};
use kv_authz::{
    Principal, SecondFactor,
    audit::{Event, Target},
};
use maud::html;

/// Shows where to enter the code.
///
/// # Errors
/// [`Failure`].
pub async fn show(caller: Caller, request: HttpRequest) -> Result<HttpResponse, Failure> {
    caller.about(Event::AuthShow, target());
    let way = Way::of(&request)?;
    caller.observe(Event::AuthShow, target(), async |_| Ok(())).await?;
    if matches!(caller.principal(), Principal::Session { factor: SecondFactor::Missing, .. }) {
        return Ok(see_other(way.next()));
    }
    Ok(page(&Reader::new(&caller, &request)?, &way, StatusCode::OK, None))
}

/// Takes the code.
///
/// # Errors
/// [`Failure`].
pub async fn submit(caller: Caller, request: HttpRequest, form: Form) -> Result<HttpResponse, Failure> {
    caller.about(Event::AuthReverify, target());
    let way = Way::of(&request)?;
    form.only(&["code"], &[])?;
    let shown = shown(&form);
    let done = caller
        .act(Event::AuthReverify, target(), async |view| second_factor::reverify(&caller.acting(view), &shown).await)
        .await;
    match done {
        Ok(()) => Ok(see_other(way.next())),
        Err(failure) if failure.status() == 422 => {
            let reader = Reader::new(&caller, &request)?;
            let words = reader.texts.sign_in.wrong_code;
            Ok(page(&reader, &way, StatusCode::UNPROCESSABLE_ENTITY, Some(words)))
        }
        Err(failure) => Err(failure),
    }
}

fn target() -> Target {
    Target::of("second-factors")
}

fn page(reader: &Reader, way: &Way, status: StatusCode, error: Option<&str>) -> HttpResponse {
    let t = &reader.texts.verify;
    let dialog = Dialog {
        title: t.title,
        lead: html! { (t.about) },
        fields: parts::code_field(reader.texts, error),
        action: &leading_back("/verify", way.next()),
        cancel: "/",
        button: t.action,
        busy: reader.texts.sign_in.busy,
        danger: false,
    };
    Page {
        reader,
        place: Place::Elsewhere,
        title: t.title,
        over: html! {},
        about: html! {},
        actions: html! {},
        main: html! {},
        dialog: Some(dialog.markup(reader)),
        status,
    }
    .answer()
}
