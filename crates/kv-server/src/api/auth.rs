//! Signing in and out.

use super::input::Body;
use crate::{
    app::App, caller::Caller, failure::Failure, operations, pipeline::Visitor, problem::Problem, routes::no_query,
};
use actix_web::{HttpMessage, HttpRequest, HttpResponse, http::header, web::Data};
use kv_authz::audit::{Event, Target};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::ToSchema;

/// What signing in takes.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Login {
    /// The user's name.
    username: String,
    /// Their password.
    #[schema(value_type = String, format = Password)]
    password: SecretString,
}

/// What signing in gives.
#[derive(Serialize, ToSchema)]
pub struct Token {
    /// To be sent as `Authorization: Bearer <access_token>`.
    access_token: String,
    /// Always `Bearer`.
    token_type: &'static str,
    /// Seconds until it ends.
    expires_in: i64,
}

/// Sign in with a password.
#[utoipa::path(post, path = "/api/v1/auth/login", tag = "auth", request_body = Login, responses(
    (status = 200, body = Token),
    (status = 401, description = "Unknown user, wrong password or disabled account: all alike.", body = Problem),
    (status = 429, description = "Too many attempts from this address.", body = Problem),
))]
pub async fn login(app: Data<Arc<App>>, request: HttpRequest, body: Body) -> Result<HttpResponse, Failure> {
    no_query(&request)?;
    let login: Login = body.json()?;
    let visitor = request.extensions().get::<Visitor>().cloned();
    let Visitor { id, origin } = visitor.ok_or(Failure::Internal { step: "reading the visitor", source: None })?;
    let token = operations::sign_in::sign_in(&app, id, origin, &login.username, login.password).await?;
    Ok(HttpResponse::Ok().insert_header((header::CACHE_CONTROL, "no-store")).json(Token {
        access_token: token.token.expose_secret().to_owned(),
        token_type: "Bearer",
        expires_in: (token.expires_at - app.clock.now()).whole_seconds(),
    }))
}

/// Sign out: the session is over at once.
#[utoipa::path(post, path = "/api/v1/auth/logout", tag = "auth", security(("session" = [])), responses(
    (status = 204),
    (status = 403, description = "A key cannot sign out; revoke it.", body = Problem),
))]
pub async fn logout(caller: Caller, request: HttpRequest) -> Result<HttpResponse, Failure> {
    caller.about(Event::AuthLogout, Target::of("sessions"));
    no_query(&request)?;
    caller
        .act(Event::AuthLogout, Target::of("sessions"), async |view| {
            operations::sign_out::sign_out(caller.acting(view)).await
        })
        .await?;
    Ok(HttpResponse::NoContent().finish())
}
