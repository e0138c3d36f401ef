//! The texts of pages, all of them. A language is one value of [`Texts`], and whatever it leaves out does not compile.
//!
//! Nothing here knows of markup; `{}` stands where a page puts a value.

mod general;
mod keys;
mod people;

use actix_web::HttpRequest;
pub(super) use general::{Done, Errors, Nav, SignIn, States};
pub(super) use keys::Keys;
pub(super) use people::Verify;
use std::fmt::Display;

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
    pub(super) verify: Verify,
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
    verify: Verify::EN,
};

/// The texts for whoever asks. There is one language so far; a second is chosen here.
pub(super) fn of(_: &HttpRequest) -> &'static Texts {
    &EN
}

/// A text with its value.
pub(super) fn said(text: &str, value: impl Display) -> String {
    text.replacen("{}", &value.to_string(), 1)
}
