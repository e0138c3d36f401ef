//! Failures as a page tells them, and the pages that are shown in the place of one: where to sign in, where to set up a
//! second factor, where to show a code of it.
//!
//! Nothing is said here that the failure does not say.

use super::{
    assets::Addresses,
    kept::Kept,
    layout,
    sign_in::add,
    texts::{self, Texts, said},
};
use crate::{
    failure::Failure,
    problem::{Problem, seconds_to_wait},
};
use actix_web::{
    HttpResponse, HttpResponseBuilder,
    body::MessageBody,
    http::{Uri, header},
};
use kv_authz::Denied;
use maud::html;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

/// Where nobody is led back to.
const SIGN_OUT: &str = "/sign-out";

/// The page to be seen instead of the one that was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Instead {
    /// Where to sign in.
    SignIn,
    /// Where to set up a second factor.
    Enrol,
    /// Where to show a code of it.
    Code,
}

impl Instead {
    fn of(failure: &Failure) -> Option<Self> {
        match failure {
            Failure::Unauthorized { .. } => Some(Self::SignIn),
            Failure::Denied(Denied::EnrolmentRequired) => Some(Self::Enrol),
            Failure::Denied(Denied::CodeRequired) => Some(Self::Code),
            _ => None,
        }
    }

    /// The way there, from where the way back leads to `address`: every form stands at the address it is sent to.
    /// What was typed and is kept for there and back goes along.
    fn answer(self, address: &Uri, kept: Option<Kept>) -> HttpResponse {
        let back = address.path_and_query().map_or("/", |path| path.as_str());
        let there = match self {
            Self::SignIn if back == "/" || back == SIGN_OUT => "/sign-in".into(),
            Self::SignIn => leading_back("/sign-in", back),
            Self::Enrol => "/profile/security/second-factor".into(),
            Self::Code => leading_back("/verify", back),
        };
        let mut response = see_other(&there);
        if let Some(kept) = kept.filter(|_| self == Self::Code) {
            add(&mut response, &kept.cookie());
        }
        response
    }
}

/// The page to be seen instead, where the answer to the one that was asked for says so.
pub(crate) fn elsewhere(
    answer: &HttpResponse<impl MessageBody>,
    address: &Uri,
    kept: Option<Kept>,
) -> Option<HttpResponse> {
    let instead = answer.extensions().get::<Instead>().copied()?;
    Some(instead.answer(address, kept))
}

/// How long from now, in words.
fn in_words(t: &Texts, seconds: u64) -> String {
    match seconds {
        ..120 => said(t.states.in_seconds, seconds),
        _ => said(t.states.in_minutes, seconds.div_ceil(60)),
    }
}

/// An address with the way back.
pub(super) fn leading_back(there: &str, back: &str) -> String {
    format!("{there}?next={}", utf8_percent_encode(back, NON_ALPHANUMERIC))
}

/// The answer that has a browser look elsewhere.
pub(super) fn see_other(there: &str) -> HttpResponse {
    HttpResponse::SeeOther().insert_header((header::LOCATION, there)).finish()
}

/// A failure as a page. Where another page is to be seen instead, none is written: nobody would see it.
pub fn failed(mut response: HttpResponseBuilder, failure: &Failure, problem: &Problem) -> HttpResponse {
    if let Some(instead) = Instead::of(failure) {
        let mut response = response.finish();
        response.extensions_mut().insert(instead);
        return response;
    }
    let t = &texts::EN;
    let title = t.errors.title(problem.status, problem.code);
    // The failure may come from where nobody has the application at hand.
    let assets = Addresses::new();
    let body = layout::bare(
        t,
        &assets,
        title,
        html! {
            h1 { (title) }
            p { (detail(failure, problem)) }
            @if !problem.request_id.is_empty() {
                p.hint { (said(t.errors.request, &problem.request_id)) }
            }
            p { a.btn href="/" { (t.errors.home) } }
        },
    );
    response.content_type("text/html; charset=utf-8").body(body.into_string())
}

/// What to do about it, in words for a person at a browser.
pub(super) fn detail(failure: &Failure, problem: &Problem) -> String {
    let t = &texts::EN.errors;
    let wait = || in_words(&texts::EN, seconds_to_wait(failure).unwrap_or(1));
    match failure {
        Failure::Unauthorized { .. } => t.signed_out.into(),
        Failure::Unconfirmed => t.unconfirmed.into(),
        Failure::Unavailable { .. } if failure.may_be_done() => t.unconfirmed.into(),
        Failure::Unavailable { .. } => t.unavailable.into(),
        Failure::Throttled { .. } => said(t.throttled, wait()),
        Failure::Limited(_) => said(t.too_fast, wait()),
        _ => problem.detail.clone(),
    }
}
