//! Forms: what a page sends back. One that was not sent from a page of this server, by this browser, is refused before
//! anything in it is looked at: by its origin, and by a token that only such a page has.
//!
//! Every handler of a POST takes one; without it nothing tells our forms from a stranger's.

use super::cookies;
use crate::{api::input::Body, app::App, caller::Caller, failure::Failure};
use actix_web::{FromRequest, HttpMessage, HttpRequest, dev::Payload, http::header, web::Data};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use std::{future::Future, pin::Pin, sync::Arc};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// The field that the token stands in.
pub(super) const TOKEN: &str = "csrf";

/// The token of the forms of a browser: by it they are known, and from it nobody learns the cookie.
pub(super) fn token(cookie: &SecretString) -> String {
    let digest = Sha256::new().chain_update(b"kubevision form\0").chain_update(cookie.expose_secret()).finalize();
    URL_SAFE_NO_PAD.encode(digest)
}

/// A form that was sent, field by field. Fields that are not looked at may hold secrets, and none is printed.
pub struct Form {
    fields: Vec<(String, Zeroizing<String>)>,
}

impl std::fmt::Debug for Form {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Form")
    }
}

impl Form {
    /// A field's value as it was typed; empty where it was not sent.
    #[must_use]
    pub fn text(&self, name: &str) -> &str {
        self.fields.iter().find(|(field, _)| field == name).map_or("", |(_, value)| value.as_str())
    }

    /// A field's value that nobody is to see.
    #[must_use]
    pub fn secret(&self, name: &str) -> SecretString {
        SecretString::from(self.text(name))
    }

    /// Every value of a field that may be sent more than once.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.fields.iter().filter(move |(field, _)| field == name).map(|(_, value)| value.as_str())
    }

    /// Whether a box is ticked.
    #[must_use]
    pub fn ticked(&self, name: &str) -> bool {
        !self.text(name).is_empty()
    }

    /// Reads its written form.
    pub(super) fn read(bytes: &[u8]) -> Self {
        let fields = form_urlencoded::parse(bytes);
        Self { fields: fields.map(|(name, value)| (name.into_owned(), Zeroizing::new(value.into_owned()))).collect() }
    }

    /// Whether every field is one that the page has, and no other than those named `many` is there twice.
    ///
    /// # Errors
    /// [`Failure::Invalid`].
    pub fn only(&self, known: &[&str], many: &[&str]) -> Result<(), Failure> {
        for (at, (name, _)) in self.fields.iter().enumerate() {
            let name = name.as_str();
            let twice = !many.contains(&name) && self.fields[..at].iter().any(|(before, _)| before == name);
            if twice || !(name == TOKEN || known.contains(&name) || many.contains(&name)) {
                return Err(Failure::invalid("malformed_body", "The form is not one of this page. Reload it."));
            }
        }
        Ok(())
    }
}

impl FromRequest for Form {
    type Error = Failure;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Failure>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let signed_in = request.extensions().get::<Caller>().is_some();
        let expected = cookies::form_token(request, signed_in);
        let ours = is_of_our_origin(request);
        let body = Body::from_request(request, payload);
        Box::pin(async move {
            let body = body.await?;
            if !ours {
                return Err(from_elsewhere());
            }
            if body.media_type != "application/x-www-form-urlencoded" {
                let detail = "A page takes what its own form sends.".into();
                return Err(Failure::Invalid { status: 415, code: "unsupported_media_type", detail });
            }
            let expected = expected.ok_or_else(no_cookie)?;
            let form = Self::read(&body.bytes);
            match form.text(TOKEN).as_bytes().ct_eq(expected.as_bytes()).into() {
                true => Ok(form),
                false => Err(from_elsewhere()),
            }
        })
    }
}

/// Whether a page of this server sent it, by the browser's word, which no page can change (Fetch §3.2).
fn is_of_our_origin(request: &HttpRequest) -> bool {
    let app = request.app_data::<Data<Arc<App>>>();
    let only = |name| {
        let mut values = request.headers().get_all(name);
        let value = values.next()?.to_str().ok()?;
        values.next().is_none().then_some(value)
    };
    let Some(origin) = only(header::ORIGIN) else { return false };
    // A proxy may ask for another host than the browser did; then the operator has said which that is.
    let public = app.and_then(|app| app.config.public_url.as_ref()).is_some_and(|url| url.to_string() == origin);
    // The scheme is a proxy's affair as well: it may end TLS before us.
    let same_host = origin.split_once("://").is_some_and(|(_, from)| only(header::HOST) == Some(from));
    public || same_host
}

fn from_elsewhere() -> Failure {
    Failure::Invalid {
        status: 403,
        code: "foreign_form",
        detail: "The form was not sent from a page of this server, or its page is out of date. Go back, reload it and \
                 try again."
            .into(),
    }
}

fn no_cookie() -> Failure {
    Failure::Invalid {
        status: 403,
        code: "no_cookie",
        detail:
            "Your browser did not keep this server's cookie. Allow cookies, and open the server by `https://`: over \
                 plain HTTP browsers keep it for `localhost` alone."
                .into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_has_the_fields_of_its_page_and_no_others() {
        let form = Form::read(b"csrf=x&name=a+b%26&atom=pods%3Aread&atom=pods%3Alogs");
        assert_eq!(form.text("name"), "a b&");
        assert_eq!(form.all("atom").collect::<Vec<_>>(), ["pods:read", "pods:logs"]);
        assert!(form.only(&["name"], &["atom"]).is_ok());
        assert!(form.only(&["name", "atom"], &[]).is_err(), "one of them is there twice");
        assert!(form.only(&[], &["atom"]).is_err(), "one of them is not known");
        assert!(!form.ticked("missing"));
    }

    #[test]
    fn a_token_follows_from_its_cookie_alone() {
        let [one, other] = ["kvs_a", "kvs_b"].map(|text| token(&SecretString::from(text)));
        assert_eq!(one, token(&SecretString::from("kvs_a")));
        assert!(one != other && !one.contains("kvs_"));
    }
}
