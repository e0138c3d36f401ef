//! The reader: whoever looks at a page, with what every page shows of them. What they may do is asked here so that no link
//! leads nowhere; whether they may is decided by the operation behind it.

use super::{
    cookies,
    form::Form,
    kept,
    texts::{self, Texts},
};
use crate::{app::App, caller::Caller, failure::Failure};
use actix_web::HttpRequest;
use kv_authz::{Denied, Principal, action::OwnAction};
use std::sync::Arc;
use time::OffsetDateTime;

/// Whoever looks at a page.
#[derive(Debug)]
pub(super) struct Reader {
    /// The application.
    pub(super) app: Arc<App>,
    /// Who they are.
    pub(super) principal: Principal,
    /// What stands in their forms.
    pub(super) token: String,
    /// What they have just done, by its code.
    pub(super) done: Option<String>,
    /// What they had typed here before a code was asked for.
    pub(super) kept: Option<Form>,
    /// When they look.
    pub(super) now: OffsetDateTime,
    /// In which language.
    pub(super) texts: &'static Texts,
}

impl Reader {
    /// The reader of a request.
    ///
    /// # Errors
    /// [`Failure::Unauthorized`] where there is none.
    pub(super) fn new(caller: &Caller, request: &HttpRequest) -> Result<Self, Failure> {
        let token = cookies::form_token(request, true).ok_or(Failure::Unauthorized { reason: None })?;
        Ok(Self {
            app: caller.app().clone(),
            principal: caller.principal(),
            kept: kept::again(request, &token),
            token,
            done: cookies::done(request),
            now: caller.app().clock.now(),
            texts: texts::of(request),
        })
    }

    /// Their name.
    pub(super) fn name(&self) -> &str {
        self.principal.owner().map_or("", |owner| &owner.name)
    }

    /// Whether an act is theirs to do, a code of the second factor aside.
    pub(super) fn may<A: OwnAction>(&self) -> bool {
        matches!(self.asked::<A>(), Ok(()) | Err(Denied::CodeRequired))
    }

    /// Whether they are to show a code before an act.
    pub(super) fn owes_code<A: OwnAction>(&self) -> bool {
        self.asked::<A>() == Err(Denied::CodeRequired)
    }

    fn asked<A: OwnAction>(&self) -> Result<(), Denied> {
        kv_authz::may::<A>(&self.principal, self.app.policy(), self.now)
    }
}
