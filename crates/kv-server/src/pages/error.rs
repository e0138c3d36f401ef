//! Failures as a page tells them, and the pages that are shown in the place of one: where to sign in, where to set up a
//! second factor, where to show a code of it.
//!
//! Nothing is said here that the failure does not say.

use super::{
    assets::Addresses,
    layout,
    texts::{self, said},
};
use crate::{failure::Failure, problem::Problem};
use actix_web::{
    HttpResponse, HttpResponseBuilder,
    http::{Uri, header},
};
use kv_authz::Denied;
use maud::html;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

/// Where nobody is led back to.
const SIGN_OUT: &str = "/sign-out";

/// The page to be seen instead of the one that was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Instead {
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
    pub(crate) fn answer(self, address: &Uri) -> HttpResponse {
        let back = address.path_and_query().map_or("/", |path| path.as_str());
        let there = match self {
            Self::SignIn if back == "/" || back == SIGN_OUT => "/sign-in".into(),
            Self::SignIn => leading_back("/sign-in", back),
            Self::Enrol => "/profile/security/second-factor".into(),
            Self::Code => leading_back("/verify", back),
        };
        see_other(&there)
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
    // The failure may come from where nobody has the application at hand.
    let assets = Addresses::new();
    let body = layout::bare(
        t,
        &assets,
        problem.title,
        html! {
            h1 { (t.errors.title(problem.status, problem.code)) }
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
    match failure {
        Failure::Unauthorized { .. } => t.signed_out.into(),
        Failure::Unconfirmed => t.unconfirmed.into(),
        Failure::Unavailable { .. } if failure.may_be_done() => t.unconfirmed.into(),
        Failure::Unavailable { .. } => t.unavailable.into(),
        Failure::Throttled { wait } => said(t.throttled, wait.as_seconds_f64().ceil().max(1.0)),
        Failure::Limited(_) => t.wait.into(),
        _ => problem.detail.clone(),
    }
}
