//! Signing in and out, sessions, passwords. Second factors are in `second_factor`.

use super::{
    List,
    api_keys::{EffectivePermissions, permissions},
    input::{Body, PageQuery, id, page, query, written},
};
use crate::{
    app::App,
    auth::Tokens as AccessTokens,
    caller::Caller,
    failure::Failure,
    operations::{
        passwords,
        prove::Shown,
        sessions,
        show_oneself::show_oneself,
        sign_in::{self, SignedIn, Tokens},
        sign_out,
        visit::{Means, Visit},
    },
    pipeline::Visitor,
    problem::Problem,
    routes::no_query,
};
use actix_web::{
    HttpMessage, HttpRequest, HttpResponse,
    http::header,
    web::{Data, Path},
};
use kv_authz::{
    SessionId,
    audit::{Event, Target},
};
use kv_store::SessionRecord;
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

/// The tokens of a session.
#[derive(Serialize, ToSchema)]
pub struct Token {
    /// To be sent as `Authorization: Bearer <access_token>`.
    access_token: String,
    /// Always `Bearer`.
    token_type: &'static str,
    /// Seconds until the access token ends.
    expires_in: i64,
    /// To be sent to `/api/v1/auth/refresh`, once, within twelve hours.
    refresh_token: String,
}

/// The password was right; the second factor is to be shown.
#[derive(Serialize, ToSchema)]
pub struct SecondFactorRequired {
    /// Always true.
    mfa_required: bool,
    /// To be sent to `/api/v1/auth/mfa`, within five minutes.
    mfa_token: String,
}

/// What the second step of signing in takes: one of the two codes.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SecondStep {
    /// From the first step.
    #[schema(value_type = String, format = Password)]
    mfa_token: SecretString,
    /// The six digits of the authenticator app.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    totp_code: Option<SecretString>,
    /// One of the recovery codes.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    recovery_code: Option<SecretString>,
}

/// What renewing a session takes.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Refresh {
    /// The refresh token.
    #[schema(value_type = String, format = Password)]
    refresh_token: SecretString,
}

/// What changing one's password takes.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PasswordChange {
    /// The password there is.
    #[schema(value_type = String, format = Password)]
    current_password: SecretString,
    /// The one there shall be, at least 12 characters.
    #[schema(value_type = String, format = Password)]
    new_password: SecretString,
}

/// A session.
#[derive(Serialize, ToSchema)]
pub struct Session {
    /// Its id.
    id: String,
    /// Whether it is the one that is calling.
    current: bool,
    /// When it began.
    created_at: String,
    /// When it was last renewed.
    renewed_at: Option<String>,
    /// When it ends by itself, unless it is renewed.
    expires_at: String,
    /// When a code of the second factor was last shown in it.
    second_factor_shown_at: Option<String>,
    /// From where it was begun.
    ip: Option<String>,
    /// What its client called itself.
    user_agent: String,
}

impl Session {
    /// In its written form.
    #[must_use]
    pub fn of(session: SessionRecord, current: Option<SessionId>) -> Self {
        Self {
            id: session.id.to_string(),
            current: current == Some(session.id),
            created_at: written(session.created_at),
            renewed_at: session.renewed_at.map(written),
            expires_at: written(session.expires_at),
            second_factor_shown_at: session.factor_shown_at.map(written),
            ip: session.ip,
            user_agent: session.user_agent,
        }
    }
}

/// How many sessions ended.
#[derive(Serialize, ToSchema)]
pub struct Ended {
    /// Those that went on until then.
    sessions_ended: usize,
}

/// The caller.
#[derive(Serialize, ToSchema)]
pub struct Me {
    /// Their id.
    id: String,
    /// Their name.
    name: String,
    /// What they may do.
    permissions: EffectivePermissions,
    /// Whether they have a second factor.
    second_factor: bool,
    /// Recovery codes that are left.
    recovery_codes_left: u64,
    /// Whether they must set up a second factor before they may do anything else.
    second_factor_enrolment_required: bool,
}

/// The visit that a request to a public route is, by what it would be given a session with.
///
/// # Errors
/// [`Failure::Internal`] where the pipeline did not make it one.
pub(crate) fn visit<'a>(app: &'a Arc<App>, request: &HttpRequest, means: Means) -> Result<Visit<'a>, Failure> {
    let visitor = request.extensions().get::<Visitor>().cloned();
    let Visitor { id, origin } = visitor.ok_or(Failure::Internal { step: "reading the visitor", source: None })?;
    Ok(Visit { app, id, origin, means })
}

fn answer(tokens: &Tokens) -> HttpResponse {
    HttpResponse::Ok().insert_header((header::CACHE_CONTROL, "no-store")).json(Token {
        access_token: tokens.access.token.expose_secret().to_owned(),
        token_type: "Bearer",
        expires_in: AccessTokens::LIFETIME.whole_seconds(),
        refresh_token: tokens.refresh.expose_secret().to_owned(),
    })
}

fn signed_in(how: &SignedIn) -> Result<HttpResponse, Failure> {
    match how {
        SignedIn::Session(tokens) => Ok(answer(tokens)),
        SignedIn::SecondFactorRequired(token) => Ok(HttpResponse::Accepted()
            .json(SecondFactorRequired { mfa_required: true, mfa_token: token.expose_secret().to_owned() })),
        SignedIn::Cookie(_) => Err(Failure::Internal { step: "a client was given a cookie", source: None }),
    }
}

fn sessions_target() -> Target {
    Target::of("sessions")
}

/// Sign in with a password.
#[utoipa::path(post, path = "/api/v1/auth/login", tag = "auth", request_body = Login, responses(
    (status = 200, body = Token),
    (status = 202, description = "A second factor is in force: go on at /api/v1/auth/mfa.", body = SecondFactorRequired),
    (status = 401, description = "Unknown user, wrong password or disabled account: all alike.", body = Problem),
    (status = 429, description = "Too many attempts from this address, or for this name.", body = Problem),
))]
pub async fn login(app: Data<Arc<App>>, request: HttpRequest, body: Body) -> Result<HttpResponse, Failure> {
    no_query(&request)?;
    let login: Login = body.json()?;
    let visit = visit(&app, &request, Means::Tokens)?;
    signed_in(&sign_in::sign_in(&visit, &login.username, login.password).await?)
}

/// Show the second factor, the second step of signing in.
#[utoipa::path(post, path = "/api/v1/auth/mfa", tag = "auth", request_body = SecondStep, responses(
    (status = 200, body = Token),
    (status = 400, description = "Not exactly one code.", body = Problem),
    (status = 401, description = "`invalid_mfa_token` or `invalid_code`.", body = Problem),
    (status = 429, description = "Too many attempts.", body = Problem),
))]
pub async fn mfa(app: Data<Arc<App>>, request: HttpRequest, body: Body) -> Result<HttpResponse, Failure> {
    no_query(&request)?;
    let step: SecondStep = body.json()?;
    let shown = Shown::new(step.totp_code, step.recovery_code);
    signed_in(&sign_in::show_second_factor(&visit(&app, &request, Means::Tokens)?, &step.mfa_token, shown).await?)
}

/// Renew a session. The refresh token that is sent is used up; the answer has the next one.
#[utoipa::path(post, path = "/api/v1/auth/refresh", tag = "auth", request_body = Refresh, responses(
    (status = 200, body = Token),
    (status = 401, description = "Not known, used before, or the session is over.", body = Problem),
))]
pub async fn refresh(app: Data<Arc<App>>, request: HttpRequest, body: Body) -> Result<HttpResponse, Failure> {
    no_query(&request)?;
    let refresh: Refresh = body.json()?;
    let tokens = sessions::renew_session(&visit(&app, &request, Means::Tokens)?, &refresh.refresh_token).await?;
    Ok(answer(&tokens))
}

/// Sign out: the session is over at once.
#[utoipa::path(post, path = "/api/v1/auth/logout", tag = "auth", security(("session" = [])), responses(
    (status = 204),
    (status = 403, description = "A key cannot sign out; revoke it.", body = Problem),
))]
pub async fn logout(caller: Caller, request: HttpRequest) -> Result<HttpResponse, Failure> {
    caller.about(Event::AuthLogout, sessions_target());
    no_query(&request)?;
    caller
        .act(Event::AuthLogout, sessions_target(), async |view| sign_out::sign_out(caller.acting(view)).await)
        .await?;
    Ok(HttpResponse::NoContent().finish())
}

/// See who you are and what you may do.
#[utoipa::path(get, path = "/api/v1/auth/me", tag = "auth", security(("session" = []), ("api_key" = [])),
    responses((status = 200, body = Me)))]
pub async fn me(caller: Caller, request: HttpRequest) -> Result<HttpResponse, Failure> {
    caller.about(Event::AuthShow, Target::of("users"));
    no_query(&request)?;
    let me = caller
        .observe(Event::AuthShow, Target::of("users"), async |view| {
            let oneself = show_oneself(&caller.acting(view)).await?;
            Ok(Me {
                id: oneself.owner.id.to_string(),
                name: oneself.owner.name.clone(),
                permissions: permissions(&oneself.owner, view),
                second_factor: oneself.has_second_factor,
                recovery_codes_left: oneself.recovery_codes,
                second_factor_enrolment_required: oneself.must_enrol,
            })
        })
        .await?;
    Ok(HttpResponse::Ok().json(me))
}

/// Change your password. All your sessions end, this one too; your keys stay as they are.
#[utoipa::path(post, path = "/api/v1/auth/password", tag = "auth", request_body = PasswordChange,
    security(("session" = [])), responses(
    (status = 204),
    (status = 422, description = "`wrong_password`, `weak_password` or `same_password`.", body = Problem),
    (status = 429, description = "Too many wrong passwords.", body = Problem),
))]
pub async fn password(caller: Caller, request: HttpRequest, body: Body) -> Result<HttpResponse, Failure> {
    let users = || Target::of("users");
    caller.about(Event::AuthPassword, users());
    no_query(&request)?;
    let change: PasswordChange = body.json()?;
    caller
        .act(Event::AuthPassword, users(), async |view| {
            let (current, new) = (change.current_password.clone(), change.new_password.clone());
            passwords::change_password(&caller.acting(view), current, new).await
        })
        .await?;
    Ok(HttpResponse::NoContent().finish())
}

/// List your sessions that go on.
#[utoipa::path(get, path = "/api/v1/auth/sessions", tag = "auth", security(("session" = [])),
    params(("limit" = Option<u16>, Query), ("cursor" = Option<String>, Query)),
    responses((status = 200, body = List<Session>), (status = 403, body = Problem)))]
pub async fn list_sessions(caller: Caller, request: HttpRequest) -> Result<HttpResponse, Failure> {
    caller.about(Event::SessionList, sessions_target());
    let input: PageQuery = query(&request)?;
    let page = page(input.limit, input.cursor.as_deref())?;
    let (found, current) = caller
        .observe(Event::SessionList, sessions_target(), async |view| {
            sessions::list_own_sessions(&caller.acting(view), page).await
        })
        .await?;
    Ok(HttpResponse::Ok().json(List::of(found, |session| Session::of(session, current))))
}

/// End one of your sessions, and what it has running.
#[utoipa::path(delete, path = "/api/v1/auth/sessions/{id}", tag = "auth", security(("session" = [])),
    params(("id" = String, Path)),
    responses((status = 204, description = "Ended, now or before."), (status = 404, body = Problem)))]
pub async fn end_session(caller: Caller, request: HttpRequest, path: Path<String>) -> Result<HttpResponse, Failure> {
    caller.about(Event::SessionEnd, sessions_target());
    no_query(&request)?;
    let session = id(&path, "session")?;
    caller
        .act(Event::SessionEnd, sessions_target(), async |view| {
            sessions::end_own_session(&caller.acting(view), session).await
        })
        .await?;
    Ok(HttpResponse::NoContent().finish())
}

/// End all your sessions but the one that is calling, and what they have running.
#[utoipa::path(delete, path = "/api/v1/auth/sessions", tag = "auth", security(("session" = [])),
    responses((status = 200, body = Ended), (status = 403, body = Problem)))]
pub async fn end_other_sessions(caller: Caller, request: HttpRequest) -> Result<HttpResponse, Failure> {
    caller.about(Event::SessionEnd, sessions_target());
    no_query(&request)?;
    let sessions_ended = caller
        .act(Event::SessionEnd, sessions_target(), async |view| {
            sessions::end_other_sessions(&caller.acting(view)).await
        })
        .await?;
    Ok(HttpResponse::Ok().json(Ended { sessions_ended }))
}
