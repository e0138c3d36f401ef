//! Pages: the server as a person sees it in a browser, on the same operations as the JSON API. Each handler reads its form
//! or its query, calls an operation and writes its page; nothing is decided here, and every page does its work without a
//! script.
//!
//! What a page shows once, it shows in the answer to the form that made it, and nowhere else.

pub mod api_keys;
pub mod assets;
pub mod audit;
pub mod clusters;
mod cookies;
mod error;
mod form;
mod kept;
mod layout;
mod parts;
mod reader;
pub mod roles;
pub mod security;
mod settings;
pub mod sign_in;
mod texts;
pub mod users;
pub mod verify;
pub mod workloads;

pub use cookies::present;
pub use error::{Instead, failed};
pub use kept::Kept;

use crate::{caller::Caller, failure::Failure, routes::no_query};
use actix_web::{HttpRequest, HttpResponse};
use kv_authz::audit::{Event, Target};

/// What a browser may load and send for a page: our own files, and forms to ourselves. No page is shown inside another one,
/// and no script or style stands in a page.
pub const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
     connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// The start page: where there is most to do.
///
/// # Errors
/// [`Failure`].
pub async fn home(caller: Caller, request: HttpRequest) -> Result<HttpResponse, Failure> {
    caller.about(Event::AuthShow, Target::of("users"));
    no_query(&request)?;
    caller.observe(Event::AuthShow, Target::of("users"), async |_| Ok(())).await?;
    Ok(error::see_other("/clusters"))
}
