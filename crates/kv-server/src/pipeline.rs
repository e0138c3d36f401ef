//! The pipeline every request runs through: id, credential, registry, rate limit, handler, record, answer. The only
//! middleware, around every path.
//!
//! No rule is decided here, and no body is read.

use crate::{
    admission::Replies,
    app::App,
    auth::{self, Authority, NotPresented, Presented},
    broken::Rule,
    caller::Caller,
    ended,
    failure::Failure,
    held::{HasLastWords, Socket, hold},
    pages::{self, Kept},
    paths, patience,
    problem::{self, Format},
    report::report,
    routes::{Access, Found},
    visitors,
};
use actix_web::{
    Error, HttpMessage, HttpResponse,
    body::{BoxBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    error::InternalError,
    http::{
        StatusCode,
        header::{self, HeaderMap, HeaderName, HeaderValue},
    },
    middleware::Next,
    web,
};
use futures_util::FutureExt;
use kv_authz::{
    EntryId,
    audit::{Event, Finish, Origin, Target},
};
use kv_store::{Credential, points::Point};
use std::{borrow::Cow, panic::AssertUnwindSafe, pin::pin, rc::Rc, sync::Arc, time::Instant};
use uuid::Uuid;

/// What the pipeline knows of a request that nobody is named for: a public route's.
#[derive(Debug, Clone)]
pub struct Visitor {
    /// The request's id.
    pub id: EntryId,
    /// Where it comes from.
    pub origin: Origin,
}

/// How a request is answered: its id, the form where it fails, and for how many seconds browsers are told to come by TLS
/// alone, where they came by it.
#[derive(Debug, Clone, Copy)]
struct Reply {
    id: EntryId,
    format: Format,
    stay: Option<u32>,
}

impl Reply {
    fn answer(self, failure: &Failure) -> HttpResponse {
        problem::answer(failure, &self.id.to_string(), self.format)
    }
}

/// Runs a request through.
///
/// # Errors
/// Never: every failure becomes an answer.
pub async fn run(
    found: Found,
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let started = Instant::now();
    let Some(app) = request.app_data::<web::Data<Arc<App>>>().map(|app| Arc::clone(app.get_ref())) else {
        return Ok(request.into_response(HttpResponse::InternalServerError().finish()));
    };
    let id = match app.random.id::<EntryId>(app.clock.now()) {
        Ok(id) => id,
        Err(error) => {
            return Ok(request.into_response(problem::answer(&Failure::from(error), "", Format::Problem)));
        }
    };
    let (peer, proxies) = (request.peer_addr().map(|peer| peer.ip()), &app.config.trusted_proxies);
    let by_tls = request.app_config().secure() || visitors::behind_tls(peer, request.headers(), proxies);
    let origin = Origin::new(
        visitors::address(peer, request.headers(), proxies),
        &text(request.headers().get(header::USER_AGENT)),
        id.uuid().hyphenated().encode_lower(&mut Uuid::encode_buffer()).to_owned(),
    );
    let reply = Reply { id, format: found.format, stay: by_tls.then_some(app.config.hsts_seconds) };
    let address = (found.format == Format::Page).then(|| request.uri().clone());
    let from = origin.ip;
    let presented = match found.access {
        Access::Public | Access::Visit => None,
        Access::Credential => {
            let values = request.headers().get_all(header::AUTHORIZATION).map(HeaderValue::as_bytes);
            Some(auth::present(values, app.config.environment, &app.tokens))
        }
        Access::Page => Some(pages::present(request.request())),
    };
    let shown = matches!(presented, Some(Ok(_)));
    let refused = |status: StatusCode| {
        if let Some(address) = from.filter(|_| shown && status == StatusCode::UNAUTHORIZED) {
            app.strangers.refused(address);
        }
    };
    let answered = match presented {
        None => {
            request.extensions_mut().insert(Visitor { id, origin });
            handled(request, next).await.map(|response| finish(response, reply))
        }
        // Nobody yet: they are shown where to sign in, and there is nothing to put on record.
        Some(Err(NotPresented::Missing)) if found.access == Access::Page => {
            Ok(request.into_response(reply.answer(&Failure::Unauthorized { reason: None })))
        }
        Some(presented) => private(&app, presented, request, next, reply, origin).await,
    };
    answered
        .map(|response| {
            refused(response.status());
            let kept = || Kept::of_request(response.request());
            let elsewhere = address.as_ref().and_then(|address| pages::elsewhere(response.response(), address, kept()));
            let mut response = match elsewhere {
                Some(elsewhere) => response.into_response(elsewhere),
                None => response,
            };
            dress(response.headers_mut(), reply);
            app.metrics.answered(found.pattern, response.status().as_u16(), started.elapsed());
            response
        })
        .map_err(|error| {
            let response = error.error_response();
            refused(response.status());
            let elsewhere = address.as_ref().and_then(|address| pages::elsewhere(&response, address, None));
            let mut response = elsewhere.unwrap_or(response);
            dress(response.headers_mut(), reply);
            app.metrics.answered(found.pattern, response.status().as_u16(), started.elapsed());
            InternalError::from_response(error, response).into()
        })
}

/// A request that must be somebody's.
async fn private(
    app: &Arc<App>,
    presented: Result<Presented, NotPresented>,
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
    reply: Reply,
    origin: Origin,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let (shown, way) = (presented.is_ok(), request.app_data::<Replies>());
    let entered = match presented {
        Ok(presented) => enter(app, way.cloned(), presented, reply.id, &origin).await,
        Err(NotPresented::Missing) => Err(Failure::Unauthorized { reason: None }),
        Err(NotPresented::Ambiguous) => Err(Failure::invalid(
            "two_credentials",
            "The request carries more than one credential. Send one `Authorization` field, or a page's cookie.",
        )),
    };
    let caller = match entered {
        Ok(caller) => caller,
        Err(failure) => {
            // Boxed, as all that is seldom run: what waits for an admitted request is allocated for each, and stays small.
            let failure = Box::pin(report((app, way.cloned()), failure, reply.id, origin, shown)).await;
            return Ok(request.into_response(reply.answer(&failure)));
        }
    };
    let guard = caller.guard().clone();
    let socket = request.conn_data::<Rc<Socket>>().cloned();
    let served = {
        // Pinned here, so that its address is handed on; and gone with this block, as what was cut has to be.
        let serving = pin!(serve(&caller, request, next, reply));
        guard.unless_revoked(serving).await
    };
    match served.ok().transpose()? {
        // The gate before the answer: what was revoked meanwhile is not told its result.
        Some(response) if guard.interruption().is_none() => {
            Point::AnswerReady.reached();
            let has_last_words = response.response().extensions().get::<HasLastWords>().is_some();
            Ok(response.map_body(|_, body| hold(body, guard, socket, has_last_words)))
        }
        _ => {
            let mut why = Failure::from(guard.why());
            // What cannot be confirmed cannot be put on record either: the database is out of reach.
            if matches!(why, Failure::Unauthorized { .. })
                && !caller.has_entry()
                && let Err(unavailable @ Failure::Unavailable { .. }) =
                    Box::pin(caller.put_on_record(why.finish())).await
            {
                why = unavailable;
            }
            Err(told(why, reply))
        }
    }
}

/// A failure as an error that carries its answer: the request went with its handler, and only an error can still do so.
fn told(failure: Failure, reply: Reply) -> Error {
    let answer = reply.answer(&failure);
    InternalError::from_response(failure, answer).into()
}

/// Calls the handler. A panic in it is a failure like any other, and the answer says nothing of what the handler held.
async fn handled<B: MessageBody + 'static>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    match AssertUnwindSafe(next.call(request)).catch_unwind().await {
        Ok(done) => done.map(ServiceResponse::map_into_boxed_body),
        Err(_) => Err(Failure::Internal { step: "a handler panicked", source: None }.into()),
    }
}

/// From a credential to a caller in the registry.
async fn enter(
    app: &Arc<App>,
    way: Option<Replies>,
    presented: Presented,
    id: EntryId,
    origin: &Origin,
) -> Result<Caller, Failure> {
    // Nobody can be confirmed then, and nothing would be let through at its end.
    if !app.in_flight.lease().holds() {
        if app.config.broken.leaves_out(Rule::SilenceIsNoRefusal) {
            return Err(Failure::Unauthorized { reason: None });
        }
        return Err(Failure::Unavailable { step: "this server's lease has run out", source: None });
    }
    let authority = match app.authorities.cached(&presented) {
        Some(known) => known,
        None => {
            // Boxed, so that those who are known do not carry it along.
            Box::pin(look_up(app, &presented, origin)).await?
        }
    };
    // Before admission: either that sees a revocation, or the revocation sees this request.
    let guard = app.in_flight.enter(authority.credential, authority.owner.id);
    match (authority.credential, authority.expires_at) {
        // It may be renewed meanwhile, or was since this was read; whoever looks after sessions asks then.
        (Credential::Session(_), Some(end)) => guard.lasts_until(end),
        // What has expired already is admission's to refuse, and to put on record.
        (Credential::Key(_), Some(end)) => {
            if let Ok(left) = (end - app.clock.now()).try_into() {
                guard.ends_after(left);
            }
        }
        (_, None) => {}
    }
    Ok(Caller::new((app.clone(), way), presented, authority, guard, id, origin.clone()))
}

/// Looks a credential up that nobody here knows yet, unless too many that were good for nothing have come from there.
async fn look_up(app: &App, presented: &Presented, origin: &Origin) -> Result<Arc<Authority>, Failure> {
    let looked_at = origin.ip.map_or(Ok(()), |address| app.strangers.may_look_up(address));
    looked_at.map_err(|soon| Failure::Throttled { wait: soon.retry_after.try_into().unwrap_or_default() })?;
    let found = app.authorities.load(presented).await?.ok_or(Failure::Unauthorized { reason: None })?;
    if let Some(address) = origin.ip {
        app.strangers.found(address);
    }
    Ok(found)
}

/// A caller's request: limited, handled and put on record.
async fn serve(
    caller: &Caller,
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
    reply: Reply,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let allowance = match caller.app().limiter.take(&caller.rights()).await {
        Ok(allowance) => allowance,
        Err(refused) => {
            caller.about(Event::RequestLimit, Target::default());
            let failure = Box::pin(settle(caller, refused.into())).await;
            return Ok(request.into_response(reply.answer(&failure)));
        }
    };
    if let Err(failure) = paths::check_path(request.uri().path()) {
        let failure = Box::pin(settle(caller, failure)).await;
        return Ok(request.into_response(reply.answer(&failure)));
    }
    request.extensions_mut().insert(caller.clone());
    let mut response = match handled(request, next).await {
        Ok(response) => response,
        Err(error) => {
            let failure = ended::failure(&error);
            let failure = if caller.is_on_record() { failure } else { Box::pin(settle(caller, failure)).await };
            return Err(told(failure, reply));
        }
    };
    if !caller.is_on_record() {
        let failure = response.response().error().map(ended::failure);
        let written = || Finish::with_status(response.status().as_u16());
        let done = failure.as_ref().map_or_else(written, Failure::finish);
        if let Err(failure) = Box::pin(put_on_record(caller, done)).await {
            return Ok(response.into_response(reply.answer(&failure)));
        }
    }
    response = finish(response, reply);
    // A 401 is the same for everyone.
    if let Some(allowance) = allowance.filter(|_| response.status() != StatusCode::UNAUTHORIZED) {
        problem::limit_fields(response.headers_mut(), allowance.limit, allowance.remaining, None);
    }
    Ok(response)
}

/// Puts a failure on record that came before the handler, and gives the failure to answer with.
async fn settle(caller: &Caller, failure: Failure) -> Failure {
    match put_on_record(caller, failure.finish()).await {
        Ok(()) => failure,
        Err(refused) => refused,
    }
}

/// Puts an end on record. One for want of the database only if that can be done at once: its caller has waited long enough.
async fn put_on_record(caller: &Caller, done: Finish) -> Result<(), Failure> {
    if done.status != 503 {
        return caller.put_on_record(done).await;
    }
    tokio::time::timeout(patience::FAREWELL, caller.put_on_record(done)).await.unwrap_or(Ok(()))
}

/// Gives an error's answer its final form, now that the request's id is known.
fn finish<B: MessageBody + 'static>(response: ServiceResponse<B>, reply: Reply) -> ServiceResponse<BoxBody> {
    let answer = match response.response().error() {
        None => return response.map_into_boxed_body(),
        Some(error) => match error.as_error::<Failure>() {
            Some(failure) => reply.answer(failure),
            None => reply.answer(&ended::failure(error)),
        },
    };
    let (http, _) = response.into_parts();
    ServiceResponse::new(http, answer)
}

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What every answer carries: the request's id, and what browsers must know.
fn dress(headers: &mut HeaderMap, Reply { id, format, stay }: Reply) {
    if let Ok(value) = HeaderValue::from_str(id.uuid().hyphenated().encode_lower(&mut Uuid::encode_buffer())) {
        headers.insert(REQUEST_ID, value);
    }
    let (content, referrer) = match format {
        // Without a referrer of its own origin, a form's `Origin` would be `null` (Fetch §4.6).
        Format::Page => (pages::CONTENT_SECURITY_POLICY, "same-origin"),
        Format::Problem | Format::Status => ("default-src 'none'; frame-ancestors 'none'", "no-referrer"),
    };
    for (name, value) in [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CONTENT_SECURITY_POLICY, content),
        (header::REFERRER_POLICY, referrer),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if format == Format::Page {
        headers.insert(header::CROSS_ORIGIN_OPENER_POLICY, HeaderValue::from_static("same-origin"));
    }
    if let Some(Ok(value)) = stay.map(|seconds| HeaderValue::try_from(format!("max-age={seconds}"))) {
        headers.insert(header::STRICT_TRANSPORT_SECURITY, value);
    }
    if !headers.contains_key(header::CACHE_CONTROL) {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
}

fn text(value: Option<&HeaderValue>) -> Cow<'_, str> {
    value.map_or_else(|| "".into(), |value| String::from_utf8_lossy(value.as_bytes()))
}
