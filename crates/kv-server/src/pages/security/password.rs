//! One's own password: changed on the one there is. Every session ends with it, and the next page is where to sign in.
//!
//! What was typed is in no page that is answered, whatever is wrong with it.

use super::{HERE, Wrong};
use crate::{
    auth::Passwords,
    caller::Caller,
    failure::Failure,
    operations::passwords,
    pages::{
        form::Form,
        layout::{Page, Place, hidden},
        parts::Field,
        reader::Reader,
        sign_in::signed_out,
        texts::said,
    },
    routes::no_query,
};
use actix_web::{HttpRequest, HttpResponse, http::StatusCode};
use kv_authz::audit::{Event, Target};
use maud::html;

/// Where it is changed.
pub(super) const PATH: &str = "/profile/security/password";

fn users() -> Target {
    Target::of("users")
}

/// What is wrong with either field.
#[derive(Default)]
struct Fields {
    current: Option<String>,
    new: Option<String>,
}

/// Shows where it is changed.
///
/// # Errors
/// [`Failure`].
pub async fn show(caller: Caller, request: HttpRequest) -> Result<HttpResponse, Failure> {
    caller.about(Event::AuthShow, users());
    no_query(&request)?;
    caller.observe(Event::AuthShow, users(), async |_| Ok(())).await?;
    Ok(page(&Reader::new(&caller, &request)?, &Wrong::default(), &Fields::default()))
}

/// Changes it.
///
/// # Errors
/// [`Failure`].
pub async fn submit(caller: Caller, request: HttpRequest, form: Form) -> Result<HttpResponse, Failure> {
    caller.about(Event::AuthPassword, users());
    no_query(&request)?;
    form.only(&["current", "new"], &[])?;
    let reader = Reader::new(&caller, &request)?;
    let changed = caller
        .act(Event::AuthPassword, users(), async |view| {
            passwords::change_password(&caller.acting(view), form.secret("current"), form.secret("new")).await
        })
        .await;
    let Err(failure) = changed else {
        return Ok(signed_out("password"));
    };
    let t = &reader.texts.password;
    let fields = match failure.code() {
        "wrong_password" => Fields { current: Some(t.wrong.into()), ..Fields::default() },
        "weak_password" => Fields { new: Some(failure.to_string()), ..Fields::default() },
        "same_password" => Fields { new: Some(t.same.into()), ..Fields::default() },
        _ => return Ok(page(&reader, &Wrong::of_haste(failure)?, &Fields::default())),
    };
    let wrong = Wrong { status: StatusCode::UNPROCESSABLE_ENTITY, ..Wrong::default() };
    Ok(page(&reader, &wrong, &fields))
}

fn page(reader: &Reader, wrong: &Wrong, fields: &Fields) -> HttpResponse {
    let t = &reader.texts.password;
    let hint = said(t.new_hint, Passwords::MIN);
    let password = |name, label, hint, error, autocomplete, first| Field {
        name,
        label,
        hint,
        error,
        kind: "password",
        autocomplete,
        first,
        ..Field::default()
    };
    let main = html! {
        (wrong.alert())
        form method="post" action=(PATH) {
            (hidden(reader))
            // Not sent: it tells a password manager whose password it is.
            input type="text" value=(reader.name()) autocomplete="username" readonly hidden;
            (password("current", t.current, "", fields.current.as_deref(), "current-password", fields.new.is_none()))
            (password("new", t.new, &hint, fields.new.as_deref(), "new-password", fields.new.is_some()))
            div.field { button.btn.primary data-busy=(t.busy) { (t.action) } }
        }
    };
    let page = Page {
        reader,
        place: Place::Security,
        title: t.title,
        over: html! { a href=(HERE) { (reader.texts.security.title) } },
        about: html! { (t.about) },
        actions: html! {},
        main,
        dialog: None,
        status: wrong.status,
    };
    wrong.on(page.answer())
}
