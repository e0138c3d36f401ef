//! Profile, Security: the second factor, the recovery codes, the sessions and the password of whoever looks, each with the
//! way to change it.
//!
//! Whoever still lacks a second factor they must have sees none of it: they are led to where they set one up.

pub mod password;
pub mod recovery_codes;
pub mod second_factor;
pub mod sessions;

use super::{
    error::detail,
    layout::{Page, Place},
    parts::{self, Tone},
    reader::Reader,
    settings::counted,
    texts::{Texts, said},
};
use crate::{
    api::input::{page, query},
    auth::recovery,
    caller::Caller,
    failure::Failure,
    operations::{
        sessions::list_own_sessions,
        show_oneself::{Oneself, show_oneself},
    },
    problem::{Problem, seconds_to_wait},
};
use actix_web::{
    HttpRequest, HttpResponse,
    http::{StatusCode, header},
};
use kv_authz::{
    Denied, SessionId,
    action::ListOwnSessions,
    audit::{Event, Target},
};
use kv_store::SessionRecord;
use maud::{Markup, html};
use serde::Deserialize;

/// Where it is.
const HERE: &str = "/profile/security";
/// With fewer recovery codes there is a warning.
const FEW_CODES: u64 = 3;

/// What the page takes in its address.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TableQuery {
    cursor: Option<String>,
}

fn factors() -> Target {
    Target::of("second-factors")
}

/// What the page shows.
struct Known {
    oneself: Oneself,
    sessions: kv_store::Page<SessionRecord>,
    /// The one that is calling.
    current: Option<SessionId>,
}

impl Known {
    /// Whether there are sessions beside the one that is calling.
    fn has_others(&self) -> bool {
        self.sessions.next.is_some() || self.sessions.items.iter().any(|session| Some(session.id) != self.current)
    }
}

async fn load(caller: &Caller, cursor: Option<&str>) -> Result<Known, Failure> {
    let request = page(None, cursor)?;
    caller
        .observe(Event::SessionList, Target::of("sessions"), async |view| {
            let acting = caller.acting(view);
            let (sessions, current) = list_own_sessions(&acting, request).await?;
            Ok(Known { oneself: show_oneself(&acting).await?, sessions, current })
        })
        .await
}

/// Shows the page.
///
/// # Errors
/// [`Failure`].
pub async fn show(caller: Caller, request: HttpRequest) -> Result<HttpResponse, Failure> {
    caller.about(Event::SessionList, Target::of("sessions"));
    let wanted: TableQuery = query(&request)?;
    let reader = Reader::new(&caller, &request)?;
    let known = load(&caller, wanted.cursor.as_deref()).await?;
    Ok(overview(&reader, &known, None, StatusCode::OK))
}

/// What is wrong with what was typed into a form.
#[derive(Default)]
struct Wrong {
    /// With the code.
    code: bool,
    /// With none of the fields.
    all: Option<String>,
    status: StatusCode,
    /// In how many seconds to come again.
    wait: Option<u64>,
}

impl Wrong {
    /// What a refused code says. What is no matter of the form stays a failure.
    fn of_code(failure: Failure) -> Result<Self, Failure> {
        match failure {
            Failure::Invalid { code: "invalid_code", .. } => {
                Ok(Self { code: true, status: StatusCode::UNPROCESSABLE_ENTITY, ..Self::default() })
            }
            failure => Self::of_haste(failure),
        }
    }

    /// What is said to whoever has failed too often.
    fn of_haste(failure: Failure) -> Result<Self, Failure> {
        match failure {
            Failure::Throttled { .. } => {
                let words = detail(&failure, &Problem::new(&failure, ""));
                let (status, wait) = (StatusCode::TOO_MANY_REQUESTS, seconds_to_wait(&failure));
                Ok(Self { all: Some(words), status, wait, ..Self::default() })
            }
            failure => Err(failure),
        }
    }

    /// The field for either code, with what is wrong.
    fn field(&self, texts: &Texts) -> Markup {
        html! {
            (self.alert())
            (parts::code_field(texts, self.code.then_some(texts.sign_in.wrong_code)))
        }
    }

    fn alert(&self) -> Markup {
        html! { @if let Some(words) = &self.all { (parts::alert(words)) } }
    }

    /// The page that says so, with when to come again.
    fn on(&self, mut page: HttpResponse) -> HttpResponse {
        if let Some(wait) = self.wait {
            page.headers_mut().insert(header::RETRY_AFTER, wait.into());
        }
        page
    }
}

/// Whether the reader must set up a second factor before anything else.
fn must_enrol(reader: &Reader) -> bool {
    let asked = kv_authz::may::<ListOwnSessions>(&reader.principal, reader.app.policy(), reader.now);
    asked == Err(Denied::EnrolmentRequired)
}

fn overview(reader: &Reader, known: &Known, dialog: Option<Markup>, status: StatusCode) -> HttpResponse {
    let t = &reader.texts.security;
    frame(
        reader,
        html! {
            @if let Some(words) = counted(reader, "others-ended", [t.others_none, t.others_one, t.others_ended]) {
                (parts::notice(&words))
            }
            (factor(reader, &known.oneself))
            (block(
                "sessions",
                html! { (t.sessions) },
                html! { (t.sessions_about) },
                html! { @if known.has_others() { a.btn.risky href=(sessions::OTHERS) { (t.end_others) } } },
                html! {
                    (sessions::table(reader, known))
                    @if let Some(next) = known.sessions.next {
                        p.pager { a.btn.small href={ (HERE) "?cursor=" (next) } { (reader.texts.nav.more) } }
                    }
                },
            ))
            (block(
                "password",
                html! { (t.password) },
                html! { (t.password_about) },
                html! { a.btn href=(password::PATH) { (t.change_password) } },
                html! {},
            ))
        },
        dialog,
        status,
    )
}

/// The page around what it shows.
fn frame(reader: &Reader, main: Markup, dialog: Option<Markup>, status: StatusCode) -> HttpResponse {
    let t = &reader.texts.security;
    Page {
        reader,
        place: Place::Security,
        title: t.title,
        over: html! { (reader.texts.nav.profile) },
        about: html! { (t.about) },
        actions: html! {},
        main,
        dialog,
        status,
    }
    .answer()
}

fn factor(reader: &Reader, oneself: &Oneself) -> Markup {
    let t = &reader.texts.security;
    let left = oneself.recovery_codes;
    let (pill, act) = match oneself.has_second_factor {
        true => (parts::pill(Tone::Good, t.on), html! { a.btn.risky href=(second_factor::OFF) { (t.turn_off) } }),
        false => (parts::pill(Tone::Plain, t.off), html! { a.btn.primary href=(second_factor::PATH) { (t.set_up) } }),
    };
    html! {
        (block("factor", html! { (t.factor) " " (pill) }, html! { (t.factor_about) }, act, html! {}))
        @if oneself.has_second_factor {
            (block(
                "recovery",
                html! { (t.codes) },
                html! { (said(&said(t.codes_about, left), recovery::CODES)) },
                html! { a.btn href=(recovery_codes::PATH) { (t.new_codes) } },
                html! {
                    @if left == 0 { p.notice.warn { (t.codes_none) } }
                    @else if left < FEW_CODES { p.notice.warn { (said(t.codes_few, left)) } }
                },
            ))
        }
    }
}

fn block(id: &str, title: Markup, about: Markup, act: Markup, rest: Markup) -> Markup {
    html! {
        section.block aria-labelledby=(id) {
            header {
                div {
                    h2 id=(id) { (title) }
                    p.hint { (about) }
                }
                (act)
            }
            (rest)
        }
    }
}
