//! The texts of pages, all of them. A language is one value of [`Texts`], and whatever it leaves out does not compile.
//!
//! Nothing here knows of markup; `{}` stands where a page puts a value.

mod audit;
mod clusters;
mod general;
mod keys;
mod people;
mod roles;
mod security;
mod users;

use actix_web::HttpRequest;
pub(super) use audit::Audit;
pub(super) use clusters::Clusters;
pub(super) use general::{Done, Errors, Nav, SignIn, States};
pub(super) use keys::Keys;
pub(super) use people::Verify;
pub(super) use roles::Roles;
pub(super) use security::{Codes, EndSession, Factor, Password, Security};
use std::fmt::Display;
pub(super) use users::{UserDialogs, Users};

/// Makes a struct of texts and its English value.
macro_rules! texts {
    ($(#[$doc:meta])* $name:ident { $($field:ident: $text:expr,)+ }) => {
        $(#[$doc])*
        #[derive(Debug)]
        pub(in crate::pages) struct $name {
            $(pub(in crate::pages) $field: &'static str,)+
        }

        impl $name {
            pub(super) const EN: Self = Self { $($field: $text,)+ };
        }
    };
}
pub(super) use texts;

/// Every text of one language.
#[derive(Debug)]
pub(super) struct Texts {
    /// The language, as its tag (RFC 5646).
    pub(super) tag: &'static str,
    pub(super) nav: Nav,
    pub(super) states: States,
    pub(super) done: Done,
    pub(super) errors: Errors,
    pub(super) sign_in: SignIn,
    pub(super) keys: Keys,
    pub(super) audit: Audit,
    pub(super) clusters: Clusters,
    pub(super) verify: Verify,
    pub(super) security: Security,
    pub(super) factor: Factor,
    pub(super) codes: Codes,
    pub(super) end_session: EndSession,
    pub(super) password: Password,
    pub(super) users: Users,
    pub(super) user_dialogs: UserDialogs,
    pub(super) roles: Roles,
}

/// English.
pub(super) const EN: Texts = Texts {
    tag: "en",
    nav: Nav::EN,
    states: States::EN,
    done: Done::EN,
    errors: Errors::EN,
    sign_in: SignIn::EN,
    keys: Keys::EN,
    audit: Audit::EN,
    clusters: Clusters::EN,
    verify: Verify::EN,
    security: Security::EN,
    factor: Factor::EN,
    codes: Codes::EN,
    end_session: EndSession::EN,
    password: Password::EN,
    users: Users::EN,
    user_dialogs: UserDialogs::EN,
    roles: Roles::EN,
};

/// The texts for whoever asks. There is one language so far; a second is chosen here.
pub(super) fn of(_: &HttpRequest) -> &'static Texts {
    &EN
}

/// A text with its value.
pub(super) fn said(text: &str, value: impl Display) -> String {
    text.replacen("{}", &value.to_string(), 1)
}
