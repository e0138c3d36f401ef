//! Other people's sessions, as administrators see and end them.

use super::{
    List,
    auth::Session,
    input::{PageQuery, id, page, query},
    users::{Done, known},
};
use crate::{caller::Caller, failure::Failure, operations::sessions, problem::Problem, routes::no_query};
use actix_web::{HttpRequest, HttpResponse, web::Path};
use kv_authz::audit::{Event, Target};

/// List a user's sessions that go on.
#[utoipa::path(get, path = "/api/v1/users/{id}/sessions", tag = "users", security(("session" = [])),
    params(("id" = String, Path), ("limit" = Option<u16>, Query), ("cursor" = Option<String>, Query)),
    responses((status = 200, body = List<Session>), (status = 403, body = Problem), (status = 404, body = Problem)))]
pub async fn list_sessions(caller: Caller, request: HttpRequest, path: Path<String>) -> Result<HttpResponse, Failure> {
    let target = || Target::of("sessions");
    caller.about(Event::SessionList, target());
    let input: PageQuery = query(&request)?;
    let page = page(input.limit, input.cursor.as_deref())?;
    let found = caller
        .observe(Event::SessionList, target(), async |view| {
            let acting = caller.acting(view);
            let user = known::<kv_authz::action::ListUserSessions>(&path, &acting)?;
            sessions::list_user_sessions(&acting, user, page).await
        })
        .await?;
    Ok(HttpResponse::Ok().json(List::of(found, |session| Session::of(session, None))))
}

/// End all of a user's sessions, and what they have running.
#[utoipa::path(delete, path = "/api/v1/users/{id}/sessions", tag = "users", security(("session" = [])),
    params(("id" = String, Path)),
    responses((status = 200, body = Done), (status = 403, body = Problem), (status = 404, body = Problem)))]
pub async fn end_sessions(caller: Caller, request: HttpRequest, path: Path<String>) -> Result<HttpResponse, Failure> {
    let sessions_ended = end(&caller, &request, &path, None).await?;
    Ok(HttpResponse::Ok().json(Done { api_keys_revoked: 0, api_keys_restored: 0, sessions_ended }))
}

/// End one of a user's sessions.
#[utoipa::path(delete, path = "/api/v1/users/{id}/sessions/{session_id}", tag = "users", security(("session" = [])),
    params(("id" = String, Path), ("session_id" = String, Path)),
    responses((status = 204), (status = 403, body = Problem), (status = 404, body = Problem)))]
pub async fn end_session(
    caller: Caller,
    request: HttpRequest,
    path: Path<(String, String)>,
) -> Result<HttpResponse, Failure> {
    end(&caller, &request, &path.0, Some(&path.1)).await?;
    Ok(HttpResponse::NoContent().finish())
}

async fn end(caller: &Caller, request: &HttpRequest, user: &str, session: Option<&str>) -> Result<usize, Failure> {
    let target = || Target::of("sessions");
    caller.about(Event::SessionEnd, target());
    no_query(request)?;
    caller
        .act(Event::SessionEnd, target(), async |view| {
            let acting = caller.acting(view);
            let user = known::<kv_authz::action::EndUserSessions>(user, &acting)?;
            acting.authorize::<kv_authz::action::EndUserSessions>(target())?;
            let session = session.map(|text| id(text, "session")).transpose()?;
            sessions::end_user_sessions(&acting, user, session).await
        })
        .await
}
