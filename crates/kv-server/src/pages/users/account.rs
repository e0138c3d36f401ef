//! A user's account: disabled, enabled, given another password or no second factor, deleted. Each is a dialog over the
//! user's page.
//!
//! No password that was typed is in any answer.

use super::{
    HERE,
    user::{Known, Over, again, ask},
    users,
};
use crate::{
    api::users::known,
    caller::Caller,
    failure::Failure,
    operations::{change_user, delete_user, passwords},
    pages::{
        form::Form,
        kept::keep,
        parts::{self, Dialog, Field},
        reader::Reader,
        settings::{Refusal, done_at, tick},
        texts::{UserDialogs, said},
    },
    routes::no_query,
};
use actix_web::{HttpRequest, HttpResponse, web::Path};
use kv_authz::{
    action::{ChangeUser, DeleteUser, ResetPassword, ResetSecondFactor},
    audit::Event,
};
use kv_store::UserChanged;
use maud::{Markup, html};

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ask {
    Disable,
    Enable,
    Password,
    Factor,
    Delete,
}

impl Ask {
    /// Where it stands below the user's page.
    fn place(self) -> &'static str {
        match self {
            Self::Disable => "disable",
            Self::Enable => "enable",
            Self::Password => "reset-password",
            Self::Factor => "reset-second-factor",
            Self::Delete => "delete",
        }
    }

    /// Its heading, what it says, its button, and that meanwhile.
    fn words(self, d: &UserDialogs) -> [&'static str; 4] {
        match self {
            Self::Disable => [d.disable_title, d.disable_what, d.disable_action, d.disabling],
            Self::Enable => [d.enable_title, d.enable_what, d.enable_action, d.enabling],
            Self::Password => [d.reset_title, d.reset_what, d.reset_action, d.resetting],
            Self::Factor => [d.factor_title, d.factor_what, d.factor_action, d.resetting],
            Self::Delete => [d.delete_title, d.delete_what, d.delete_action, d.deleting],
        }
    }

    /// What is said once it is done, and where.
    fn done(self, user: &str) -> HttpResponse {
        let here = format!("{HERE}/{user}");
        match self {
            Self::Disable => done_at(&here, "user-disabled"),
            Self::Enable => done_at(&here, "user-enabled"),
            Self::Password => done_at(&here, "password-reset"),
            Self::Factor => done_at(&here, "factor-reset"),
            Self::Delete => done_at(HERE, "user-deleted"),
        }
    }

    /// Its dialog, with its box ticked or not, and what was refused.
    fn dialog(self, reader: &Reader, known: &Known, ticked: bool, refusal: Option<&Refusal>) -> Markup {
        let (d, here) = (&reader.texts.user_dialogs, known.address());
        let weak = refusal.and_then(|refusal| refusal.about(&["weak_password"]));
        let [title, what, button, busy] = self.words(d);
        let fields = html! {
            @if let Some(refusal) = refusal.filter(|_| weak.is_none()) { (parts::alert(&refusal.words)) }
            @match self {
                Self::Enable => (tick(self.tick(), d.restore, ticked)),
                Self::Password => {
                    (Field {
                        name: "password", label: d.new_password, kind: "password", hint: d.new_password_hint, error: weak,
                        autocomplete: "new-password", first: true, ..Field::default()
                    })
                    (tick(self.tick(), d.revoke_too, ticked))
                }
                Self::Disable | Self::Factor | Self::Delete => {}
            }
        };
        Dialog {
            title: &said(title, &known.user.name),
            lead: html! { (what) },
            fields,
            action: &format!("{here}/{}", self.place()),
            cancel: &here,
            button,
            busy,
            danger: self != Self::Enable && self != Self::Password,
        }
        .markup(reader)
    }

    /// What its box is called, where it has one.
    fn tick(self) -> &'static str {
        match self {
            Self::Enable => "restore",
            Self::Password => "revoke",
            Self::Disable | Self::Factor | Self::Delete => "",
        }
    }

    /// Whether its box is ticked at first.
    fn ticked(self, reader: &Reader) -> bool {
        reader.kept.as_ref().map_or(self == Self::Password, |kept| kept.ticked(self.tick()))
    }

    /// Whether there is anything to ask.
    fn applies(self, known: &Known) -> bool {
        match self {
            Self::Disable => known.user.disabled_at.is_none(),
            Self::Enable => known.user.disabled_at.is_some(),
            Self::Factor => known.user.has_second_factor,
            Self::Password | Self::Delete => true,
        }
    }

    fn over(self, reader: &Reader, known: &Known) -> Option<Over> {
        self.applies(known).then(|| Over::dialog(self.dialog(reader, known, self.ticked(reader), None)))
    }

    /// The answer to the act.
    async fn answer(
        self,
        caller: &Caller,
        request: &HttpRequest,
        user: &str,
        ticked: bool,
        done: Result<UserChanged, Failure>,
    ) -> Result<HttpResponse, Failure> {
        match done {
            Ok(_) => Ok(self.done(user)),
            Err(failure) => {
                let refusal = Refusal::of(failure)?;
                again(caller, request, user, |reader, known| Over {
                    dialog: Some(self.dialog(reader, known, ticked, Some(&refusal))),
                    status: refusal.status,
                    ..Over::default()
                })
                .await
            }
        }
    }
}

/// Shows the dialog that disables a user.
///
/// # Errors
/// [`Failure`].
pub async fn ask_to_disable(caller: Caller, request: HttpRequest, path: Path<String>) -> Result<HttpResponse, Failure> {
    no_query(&request)?;
    ask::<ChangeUser>(&caller, &request, &path, |reader, known| Ask::Disable.over(reader, known)).await
}

/// Disables a user.
///
/// # Errors
/// [`Failure`].
pub async fn disable(
    caller: Caller,
    request: HttpRequest,
    path: Path<String>,
    form: Form,
) -> Result<HttpResponse, Failure> {
    caller.about(Event::UserChange, users());
    no_query(&request)?;
    form.only(&[], &[])?;
    let done = set_disabled(&caller, &path, true, false).await;
    Ask::Disable.answer(&caller, &request, &path, false, done).await
}

/// Shows the dialog that enables a user.
///
/// # Errors
/// [`Failure`].
pub async fn ask_to_enable(caller: Caller, request: HttpRequest, path: Path<String>) -> Result<HttpResponse, Failure> {
    no_query(&request)?;
    ask::<ChangeUser>(&caller, &request, &path, |reader, known| Ask::Enable.over(reader, known)).await
}

/// Enables a user.
///
/// # Errors
/// [`Failure`].
pub async fn enable(
    caller: Caller,
    request: HttpRequest,
    path: Path<String>,
    form: Form,
) -> Result<HttpResponse, Failure> {
    caller.about(Event::UserChange, users());
    no_query(&request)?;
    form.only(&["restore"], &[])?;
    keep(&request, &form, &["restore"]);
    let restore = form.ticked("restore");
    let done = set_disabled(&caller, &path, false, restore).await;
    Ask::Enable.answer(&caller, &request, &path, restore, done).await
}

async fn set_disabled(caller: &Caller, user: &str, disabled: bool, restore: bool) -> Result<UserChanged, Failure> {
    let wanted = change_user::Wanted { role: None, disabled: Some(disabled), restore_api_keys: restore };
    caller
        .act(Event::UserChange, users(), async |view| {
            let acting = caller.acting(view);
            let user = known::<ChangeUser>(user, &acting)?;
            change_user::change_user(&acting, user, &wanted).await
        })
        .await
}

/// Shows the dialog that sets a user's password.
///
/// # Errors
/// [`Failure`].
pub async fn ask_to_reset_password(
    caller: Caller,
    request: HttpRequest,
    path: Path<String>,
) -> Result<HttpResponse, Failure> {
    no_query(&request)?;
    ask::<ResetPassword>(&caller, &request, &path, |reader, known| Ask::Password.over(reader, known)).await
}

/// Sets a user's password.
///
/// # Errors
/// [`Failure`].
pub async fn reset_password(
    caller: Caller,
    request: HttpRequest,
    path: Path<String>,
    form: Form,
) -> Result<HttpResponse, Failure> {
    caller.about(Event::UserResetPassword, users());
    no_query(&request)?;
    form.only(&["password", "revoke"], &[])?;
    keep(&request, &form, &["revoke"]);
    let revoke = form.ticked("revoke");
    let done = caller
        .act(Event::UserResetPassword, users(), async |view| {
            let acting = caller.acting(view);
            let user = known::<ResetPassword>(&path, &acting)?;
            passwords::reset_password(&acting, user, form.secret("password"), revoke).await
        })
        .await;
    Ask::Password.answer(&caller, &request, &path, revoke, done).await
}

/// Shows the dialog that takes a user's second factor away.
///
/// # Errors
/// [`Failure`].
pub async fn ask_to_reset_second_factor(
    caller: Caller,
    request: HttpRequest,
    path: Path<String>,
) -> Result<HttpResponse, Failure> {
    no_query(&request)?;
    ask::<ResetSecondFactor>(&caller, &request, &path, |reader, known| Ask::Factor.over(reader, known)).await
}

/// Takes a user's second factor away.
///
/// # Errors
/// [`Failure`].
pub async fn reset_second_factor(
    caller: Caller,
    request: HttpRequest,
    path: Path<String>,
    form: Form,
) -> Result<HttpResponse, Failure> {
    caller.about(Event::UserResetSecondFactor, users());
    no_query(&request)?;
    form.only(&[], &[])?;
    let done = caller
        .act(Event::UserResetSecondFactor, users(), async |view| {
            let acting = caller.acting(view);
            let user = known::<ResetSecondFactor>(&path, &acting)?;
            delete_user::reset_second_factor(&acting, user).await
        })
        .await;
    Ask::Factor.answer(&caller, &request, &path, false, done).await
}

/// Shows the dialog that deletes a user.
///
/// # Errors
/// [`Failure`].
pub async fn ask_to_delete(caller: Caller, request: HttpRequest, path: Path<String>) -> Result<HttpResponse, Failure> {
    no_query(&request)?;
    ask::<DeleteUser>(&caller, &request, &path, |reader, known| Ask::Delete.over(reader, known)).await
}

/// Deletes a user.
///
/// # Errors
/// [`Failure`].
pub async fn delete(
    caller: Caller,
    request: HttpRequest,
    path: Path<String>,
    form: Form,
) -> Result<HttpResponse, Failure> {
    caller.about(Event::UserDelete, users());
    no_query(&request)?;
    form.only(&[], &[])?;
    let done = caller
        .act(Event::UserDelete, users(), async |view| {
            let acting = caller.acting(view);
            let user = known::<DeleteUser>(&path, &acting)?;
            delete_user::delete_user(&acting, user).await
        })
        .await;
    Ask::Delete.answer(&caller, &request, &path, false, done).await
}
