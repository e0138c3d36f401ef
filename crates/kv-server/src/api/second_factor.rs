//! One's own second factor: set up, brought into force, shown once more, given up; and its recovery codes.

use super::input::Body;
use crate::{
    caller::Caller,
    failure::Failure,
    operations::{prove::Shown, second_factor},
    problem::Problem,
    routes::no_query,
};
use actix_web::{HttpRequest, HttpResponse};
use kv_authz::audit::{Event, Target};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A code of one's second factor, or one of the recovery codes.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Code {
    /// The six digits of the authenticator app.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    totp_code: Option<SecretString>,
    /// One of the recovery codes.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    recovery_code: Option<SecretString>,
}

impl From<Code> for Shown {
    fn from(code: Code) -> Self {
        Self::new(code.totp_code, code.recovery_code)
    }
}

/// The first code of a second factor.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FirstCode {
    /// The six digits of the authenticator app.
    #[schema(value_type = String)]
    totp_code: SecretString,
}

/// A second factor to be taken up by an authenticator app. Shown this once.
#[derive(Serialize, ToSchema)]
pub struct TotpSetup {
    /// The secret in base32, to be typed.
    secret: String,
    /// The same as an address.
    otpauth_uri: String,
    /// The same as a picture, an SVG.
    qr_svg: String,
}

/// Recovery codes. Shown this once.
#[derive(Serialize, ToSchema)]
pub struct RecoveryCodes {
    /// Ten codes, each good once.
    recovery_codes: Vec<String>,
}

fn codes(codes: &[SecretString]) -> HttpResponse {
    let recovery_codes = codes.iter().map(|code| code.expose_secret().to_owned()).collect();
    HttpResponse::Ok().json(RecoveryCodes { recovery_codes })
}

fn factors() -> Target {
    Target::of("second-factors")
}

/// Set up a second factor. It is in force once a code of it has been shown at `/enable`.
#[utoipa::path(post, path = "/api/v1/auth/totp/setup", tag = "auth", security(("session" = [])), responses(
    (status = 200, body = TotpSetup),
    (status = 409, description = "One is in force already.", body = Problem),
))]
pub async fn totp_setup(caller: Caller, request: HttpRequest) -> Result<HttpResponse, Failure> {
    caller.about(Event::TotpSetUp, factors());
    no_query(&request)?;
    let shown =
        caller.act(Event::TotpSetUp, factors(), async |view| second_factor::set_up(&caller.acting(view)).await).await?;
    Ok(HttpResponse::Ok().json(TotpSetup {
        secret: shown.secret.expose_secret().to_owned(),
        otpauth_uri: shown.uri.expose_secret().to_owned(),
        qr_svg: shown.qr.expose_secret().to_owned(),
    }))
}

/// Bring your second factor into force. The answer has your recovery codes, this once.
#[utoipa::path(post, path = "/api/v1/auth/totp/enable", tag = "auth", request_body = FirstCode,
    security(("session" = [])), responses(
    (status = 200, body = RecoveryCodes),
    (status = 409, description = "None is set up, or one is in force.", body = Problem),
    (status = 422, description = "`invalid_code`.", body = Problem),
    (status = 429, description = "Too many wrong codes.", body = Problem),
))]
pub async fn totp_enable(caller: Caller, request: HttpRequest, body: Body) -> Result<HttpResponse, Failure> {
    caller.about(Event::TotpEnable, factors());
    no_query(&request)?;
    let first: FirstCode = body.json()?;
    let made = caller
        .act(Event::TotpEnable, factors(), async |view| {
            second_factor::enable(&caller.acting(view), &first.totp_code).await
        })
        .await?;
    Ok(codes(&made))
}

/// Give up your second factor, on a code of it.
#[utoipa::path(post, path = "/api/v1/auth/totp/disable", tag = "auth", request_body = Code,
    security(("session" = [])), responses(
    (status = 204),
    (status = 409, description = "None is in force.", body = Problem),
    (status = 422, description = "`invalid_code`.", body = Problem),
))]
pub async fn totp_disable(caller: Caller, request: HttpRequest, body: Body) -> Result<HttpResponse, Failure> {
    caller.about(Event::TotpDisable, factors());
    no_query(&request)?;
    let shown = Shown::from(body.json::<Code>()?);
    caller
        .act(Event::TotpDisable, factors(), async |view| second_factor::disable(&caller.acting(view), &shown).await)
        .await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Make new recovery codes, on a code. Those you had are good no longer.
#[utoipa::path(post, path = "/api/v1/auth/totp/recovery-codes", tag = "auth", request_body = Code,
    security(("session" = [])), responses(
    (status = 200, body = RecoveryCodes),
    (status = 409, description = "No second factor is in force.", body = Problem),
    (status = 422, description = "`invalid_code`.", body = Problem),
))]
pub async fn recovery_codes(caller: Caller, request: HttpRequest, body: Body) -> Result<HttpResponse, Failure> {
    caller.about(Event::TotpRecoveryCodes, factors());
    no_query(&request)?;
    let shown = Shown::from(body.json::<Code>()?);
    let made = caller
        .act(Event::TotpRecoveryCodes, factors(), async |view| {
            second_factor::renew_recovery_codes(&caller.acting(view), &shown).await
        })
        .await?;
    Ok(codes(&made))
}

/// Show your second factor once more: for five minutes you may do what asks for a recent code.
#[utoipa::path(post, path = "/api/v1/auth/reverify", tag = "auth", request_body = Code,
    security(("session" = [])), responses(
    (status = 204),
    (status = 409, description = "No second factor is in force.", body = Problem),
    (status = 422, description = "`invalid_code`.", body = Problem),
))]
pub async fn reverify(caller: Caller, request: HttpRequest, body: Body) -> Result<HttpResponse, Failure> {
    caller.about(Event::AuthReverify, factors());
    no_query(&request)?;
    let shown = Shown::from(body.json::<Code>()?);
    caller
        .act(Event::AuthReverify, factors(), async |view| second_factor::reverify(&caller.acting(view), &shown).await)
        .await?;
    Ok(HttpResponse::NoContent().finish())
}
