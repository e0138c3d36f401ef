//! One's own sessions: the table of those that go on, the dialog that ends one, and the one that ends all others.
//!
//! What a client calls itself is its own word; nothing is decided by it.

use super::{HERE, Known, load, overview};
use crate::{
    agent,
    api::input::id,
    caller::Caller,
    failure::Failure,
    operations::sessions::{end_other_sessions, end_own_session, find_own_session},
    pages::{
        error::see_other,
        form::Form,
        parts::{self, Dialog, Tone},
        reader::Reader,
        settings::done_at,
        sign_in::signed_out,
        texts::{Texts, said},
    },
    routes::no_query,
};
use actix_web::{HttpRequest, HttpResponse, http::StatusCode, web::Path};
use kv_authz::{
    SessionId,
    audit::{Event, Target},
};
use kv_store::{Credential, SessionRecord};
use maud::{Markup, html};

/// Where all others are ended.
pub(super) const OTHERS: &str = "/profile/security/sessions/end";

fn target() -> Target {
    Target::of("sessions")
}

/// The table.
pub(super) fn table(reader: &Reader, known: &Known) -> Markup {
    let t = &reader.texts.security;
    html! {
        div.table {
            table {
                caption.sr { (t.sessions) }
                thead {
                    tr {
                        th scope="col" { (t.client) }
                        th scope="col" { (t.address) }
                        th scope="col" { (t.signed_in) }
                        th scope="col" { (t.ends) }
                        th scope="col" { span.sr { (t.end) } }
                    }
                }
                tbody {
                    @for session in &known.sessions.items { (row(reader, session, known.current)) }
                }
            }
        }
    }
}

fn row(reader: &Reader, session: &SessionRecord, current: Option<SessionId>) -> Markup {
    let (t, now) = (&reader.texts.security, reader.now);
    let client = client(reader.texts, &session.user_agent);
    html! {
        tr {
            th scope="row" {
                span title=(session.user_agent) { (client) }
                @if current == Some(session.id) { " " (parts::pill(Tone::Good, t.this_one)) }
            }
            td data-label=(t.address) {
                @if let Some(ip) = &session.ip { span.mono { (ip) } }
            }
            td.dim data-label=(t.signed_in) { (parts::moment(session.created_at)) }
            td data-label=(t.ends) {
                (parts::distance(reader.texts, session.expires_at, now))
                @if let Some(at) = session.renewed_at {
                    @let (before, after) = t.renewed.split_once("{}").unwrap_or((t.renewed, ""));
                    small.dim { (before) (parts::distance(reader.texts, at, now)) (after) }
                }
            }
            td.do {
                a.btn.small.risky href=(address(session.id)) aria-label=(said(t.end_named, &client)) { (t.end) }
            }
        }
    }
}

/// Where one is ended.
fn address(session: SessionId) -> String {
    format!("{HERE}/sessions/{session}/end")
}

/// Shows the dialog that ends one.
///
/// # Errors
/// [`Failure`].
pub async fn ask_to_end(caller: Caller, request: HttpRequest, path: Path<String>) -> Result<HttpResponse, Failure> {
    caller.about(Event::SessionEnd, target());
    no_query(&request)?;
    let session: SessionId = id(&path, "session")?;
    let reader = Reader::new(&caller, &request)?;
    let known = load(&caller, None).await?;
    let found = caller
        .observe(Event::SessionList, target(), async |view| find_own_session(&caller.acting(view), session).await)
        .await?;
    let Some(session) = found else {
        // Ended by now, or never one's own: the table tells.
        return Ok(see_other(HERE));
    };
    let t = &reader.texts.end_session;
    let is_this_one = known.current == Some(session.id);
    let dialog = Dialog {
        title: &said(t.title, client(reader.texts, &session.user_agent)),
        lead: html! {
            @match &session.ip {
                Some(ip) => (said(t.lead, ip)),
                None => (t.lead_nowhere),
            }
            (parts::moment(session.created_at)) ". "
            (t.what)
            @if is_this_one { " " b { (t.this_one) } }
        },
        fields: html! {},
        action: &address(session.id),
        cancel: HERE,
        button: t.action,
        busy: t.busy,
        danger: true,
    };
    Ok(overview(&reader, &known, Some(dialog.markup(&reader)), StatusCode::OK))
}

/// Ends one. Whoever ends the one they are in is signed out.
///
/// # Errors
/// [`Failure`]: 404 for a session that is not one's own.
pub async fn end(
    caller: Caller,
    request: HttpRequest,
    path: Path<String>,
    form: Form,
) -> Result<HttpResponse, Failure> {
    caller.about(Event::SessionEnd, target());
    no_query(&request)?;
    form.only(&[], &[])?;
    let session: SessionId = id(&path, "session")?;
    let is_this_one = caller.credential() == Credential::Session(session);
    caller.act(Event::SessionEnd, target(), async |view| end_own_session(&caller.acting(view), session).await).await?;
    if is_this_one {
        return Ok(signed_out("signed-out"));
    }
    Ok(done_at(HERE, "session-ended"))
}

/// Shows the dialog that ends all others.
///
/// # Errors
/// [`Failure`].
pub async fn ask_to_end_others(caller: Caller, request: HttpRequest) -> Result<HttpResponse, Failure> {
    caller.about(Event::SessionEnd, target());
    no_query(&request)?;
    let reader = Reader::new(&caller, &request)?;
    let known = load(&caller, None).await?;
    if !known.has_others() {
        return Ok(see_other(HERE));
    }
    let t = &reader.texts.end_session;
    let dialog = Dialog {
        title: t.others_title,
        lead: html! { (t.others_what) },
        fields: html! {},
        action: OTHERS,
        cancel: HERE,
        button: t.others_action,
        busy: t.others_busy,
        danger: true,
    };
    Ok(overview(&reader, &known, Some(dialog.markup(&reader)), StatusCode::OK))
}

/// Ends all others. It waits until every server has let go of them.
///
/// # Errors
/// [`Failure`].
pub async fn end_others(caller: Caller, request: HttpRequest, form: Form) -> Result<HttpResponse, Failure> {
    caller.about(Event::SessionEnd, target());
    no_query(&request)?;
    form.only(&[], &[])?;
    let ended =
        caller.act(Event::SessionEnd, target(), async |view| end_other_sessions(&caller.acting(view)).await).await?;
    Ok(done_at(HERE, &format!("others-ended.{ended}")))
}

/// Browsers by a sign in what they call themselves. Those that call themselves like another one too stand before it.
const BROWSERS: &[(&str, &str)] = &[
    ("Edg/", "Edge"),
    ("EdgA/", "Edge"),
    ("EdgiOS/", "Edge"),
    ("OPR/", "Opera"),
    ("SamsungBrowser/", "Samsung Internet"),
    ("Firefox/", "Firefox"),
    ("FxiOS/", "Firefox"),
    ("Chrome/", "Chrome"),
    ("CriOS/", "Chrome"),
    ("Safari/", "Safari"),
];
/// Systems, likewise.
const SYSTEMS: &[(&str, &str)] = &[
    ("Android", "Android"),
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Windows", "Windows"),
    ("Mac OS X", "macOS"),
    ("CrOS", "ChromeOS"),
    ("Linux", "Linux"),
];

/// A client in words: its browser and system where they are known, else the product it names.
pub(in crate::pages) fn client(texts: &Texts, user_agent: &str) -> String {
    let t = &texts.security;
    let known = |names: &[(&str, &'static str)]| {
        names.iter().find(|(sign, _)| user_agent.contains(sign)).map(|&(_, name)| name)
    };
    if user_agent.starts_with("Mozilla/5.0 (")
        && let Some(browser) = known(BROWSERS)
    {
        return known(SYSTEMS).map_or_else(|| browser.into(), |system| said(&said(t.client_on, browser), system));
    }
    match user_agent.trim() {
        "" => t.unknown_client.into(),
        _ => agent::client(user_agent),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pages::texts::EN;

    #[test]
    fn a_browser_is_told_in_words_and_anything_else_by_its_product() {
        for (user_agent, words) in [
            ("Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0", "Firefox on Linux"),
            (
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 \
                 Safari/537.36 Edg/131.0.0.0",
                "Edge on Windows",
            ),
            (
                "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Mobile \
                 Safari/537.36",
                "Chrome on Android",
            ),
            (
                "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 \
                 Safari/605.1.15",
                "Safari on macOS",
            ),
            (
                "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) \
                 CriOS/131.0 Mobile/15E148 Safari/604.1",
                "Chrome on iPhone",
            ),
            ("Mozilla/5.0 (Haiku) Firefox/1.0", "Firefox"),
            ("curl/7.88.1", "curl"),
            ("curl/7 Firefox/128.0 Linux", "curl"),
            ("", "Unknown client"),
        ] {
            assert_eq!(client(&EN, user_agent), words);
        }
    }
}
