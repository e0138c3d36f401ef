//! What was typed into a form and is kept while a code of the second factor is shown, so that it need not be typed again: it
//! goes along in a cookie that no script and nobody else reads, and the page it was typed on takes it up.
//!
//! Never here: a password, a code, a kubeconfig. A handler names the fields that may be kept, and nothing else is.

use super::{
    cookies,
    form::{Form, TOKEN},
};
use actix_web::{HttpMessage, HttpRequest, cookie::Cookie};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use form_urlencoded::Serializer;
use subtle::ConstantTimeEq;

/// Where it was typed, beside the fields: no field of ours has such a name.
const PLACE: &str = "@place";
/// Browsers keep no cookie of more than 4,096 bytes (RFC 6265 §6.1), its name and attributes included.
const LONGEST: usize = 3_800;

/// What is kept, in its written form.
pub struct Kept(String);

impl std::fmt::Debug for Kept {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Kept")
    }
}

impl Kept {
    /// The cookie that it goes along in.
    pub(super) fn cookie(&self) -> Cookie<'static> {
        cookies::kept(&self.0)
    }

    /// What a request leaves to be kept, if it is turned away for want of a code.
    pub(crate) fn of_request(request: &HttpRequest) -> Option<Self> {
        request.extensions_mut().remove::<Self>()
    }
}

/// Has the named fields of a form kept, should a code be owed. What is too long for that is typed again.
pub(super) fn keep(request: &HttpRequest, form: &Form, plain: &[&str]) {
    let mut pairs = Serializer::new(String::new());
    pairs.append_pair(PLACE, request.path()).append_pair(TOKEN, form.text(TOKEN));
    for name in plain {
        for value in form.all(name) {
            pairs.append_pair(name, value);
        }
    }
    let written = URL_SAFE_NO_PAD.encode(pairs.finish());
    if written.len() <= LONGEST {
        request.extensions_mut().insert(Kept(written));
    }
}

/// What was typed on this page before, in this session.
pub(super) fn again(request: &HttpRequest, token: &str) -> Option<Form> {
    let written = cookies::what_is_kept(request)?;
    let form = Form::read(&URL_SAFE_NO_PAD.decode(written).ok()?);
    let ours: bool = form.text(TOKEN).as_bytes().ct_eq(token.as_bytes()).into();
    (ours && form.text(PLACE) == request.path()).then_some(form)
}
