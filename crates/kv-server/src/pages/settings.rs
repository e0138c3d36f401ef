//! What the settings' forms and dialogs share: a code is asked for before anything is filled in, a refusal is told where it
//! was typed, one of several is chosen from a list.
//!
//! Nothing here knows what is set.

use super::{
    cookies,
    error::{detail, leading_back, see_other},
    parts,
    reader::Reader,
    sign_in::add,
    texts::said,
};
use crate::{caller::Caller, failure::Failure, problem::Problem};
use actix_web::{HttpRequest, HttpResponse, ResponseError, http::StatusCode};
use kv_authz::{
    Denied,
    action::OwnAction,
    audit::{Event, Target},
};
use maud::{Markup, Render, html};

/// The way to where a code is shown, for those who owe one before an act.
///
/// # Errors
/// [`Failure`].
pub(super) async fn code_first<A: OwnAction>(
    caller: &Caller,
    request: &HttpRequest,
) -> Result<Option<HttpResponse>, Failure> {
    if !Reader::new(caller, request)?.owes_code::<A>() {
        return Ok(None);
    }
    // Confirmed, which brings what was read before the last code was shown up to date. Nothing of the act is done or shown
    // yet, and no entry is to say so.
    caller.observe(Event::AuthShow, Target::of("users"), async |_| Ok(())).await?;
    if !Reader::new(caller, request)?.owes_code::<A>() {
        return Ok(None);
    }
    let back = request.uri().path_and_query().map_or("/", |path| path.as_str());
    Ok(Some(see_other(&leading_back("/verify", back))))
}

/// Puts on record that what was filled in cannot be what an act takes, for whoever may do the act. Nobody else learns so.
///
/// # Errors
/// [`Failure`]: 403 for those who may not.
pub(super) async fn refused<A: OwnAction>(caller: &Caller, target: Target, code: &'static str) -> Result<(), Failure> {
    let refused = caller
        .act(A::line().event, target.clone(), async |view| {
            caller.acting(view).authorize::<A>(target.clone())?;
            Err::<(), _>(Failure::unprocessable(code, "A field holds what it does not take."))
        })
        .await;
    match refused {
        Err(failure) if failure.code() != code => Err(failure),
        _ => Ok(()),
    }
}

/// The answer to what was done: the next page, which says so.
pub(super) fn done_at(there: &str, code: &str) -> HttpResponse {
    let mut response = see_other(there);
    add(&mut response, &cookies::just_done(code));
    response
}

/// What was just done to many, said with their number: to none, to one, to more.
pub(super) fn counted(reader: &Reader, what: &str, [none, one, many]: [&str; 3]) -> Option<String> {
    let (done, number) = reader.done.as_deref()?.split_once('.')?;
    let number: usize = number.parse().ok().filter(|_| done == what)?;
    Some(match number {
        0 => none.to_owned(),
        1 => one.to_owned(),
        _ => said(many, number),
    })
}

/// A refusal that whoever filled in the form can do something about.
#[derive(Debug)]
pub(super) struct Refusal {
    /// Its code.
    pub(super) code: &'static str,
    /// What to do about it.
    pub(super) words: String,
    /// How it is answered.
    pub(super) status: StatusCode,
}

impl Refusal {
    /// The refusal that a failure is.
    ///
    /// # Errors
    /// The failure itself, where it has a page of its own.
    pub(super) fn of(failure: Failure) -> Result<Self, Failure> {
        match failure {
            Failure::Denied(Denied::Exceeds(_)) | Failure::Conflict { .. } | Failure::Invalid { status: 422, .. } => {
                let status = failure.status_code();
                let words = detail(&failure, &Problem::new(&failure, ""));
                Ok(Self { code: failure.code(), words, status })
            }
            _ => Err(failure),
        }
    }

    /// Its words, if it has one of the codes.
    pub(super) fn about(&self, codes: &[&str]) -> Option<&str> {
        codes.contains(&self.code).then_some(self.words.as_str())
    }
}

/// A choice of one of several.
#[derive(Debug)]
pub(super) struct Select<'a> {
    /// Its name, and its id.
    pub(super) name: &'a str,
    /// What it is called.
    pub(super) label: &'a str,
    /// What can be chosen: the value, and what it is called.
    pub(super) options: Vec<(&'a str, &'a str)>,
    /// The value chosen.
    pub(super) value: &'a str,
    /// What is wrong with it.
    pub(super) error: Option<&'a str>,
    /// Whether the cursor is in it at first.
    pub(super) first: bool,
}

impl Render for Select<'_> {
    fn render(&self) -> Markup {
        html! {
            div.field {
                label for=(self.name) { (self.label) }
                select id=(self.name) name=(self.name) autofocus[self.first] aria-invalid=[self.error.map(|_| "true")]
                    aria-describedby=[parts::described(self.name, "", self.error)] {
                    @for (value, name) in &self.options {
                        option value=(value) selected[*value == self.value] { (name) }
                    }
                }
                (parts::below(self.name, "", self.error))
            }
        }
    }
}

/// A box to be ticked.
pub(super) fn tick(name: &str, label: &str, ticked: bool) -> Markup {
    html! {
        div.field {
            label.check {
                input type="checkbox" name=(name) value="yes" checked[ticked];
                span { (label) }
            }
        }
    }
}
