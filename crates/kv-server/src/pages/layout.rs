//! The frame of a page: the way around at its side, its heading, its dialog. Dialogs are pages of their own, over the page
//! they belong to, so that links lead to them, Back leaves them, and no script is needed.
//!
//! Nothing of one page is here.

use super::{
    assets::Addresses,
    cookies,
    form::TOKEN,
    parts,
    reader::Reader,
    sign_in::add,
    texts::{Texts, said},
};
use actix_web::{HttpResponse, http::StatusCode};
use kv_authz::action::{AddCluster, ListRoles, ListUsers, ReadAuditLog};
use maud::{DOCTYPE, Markup, PreEscaped, html};

/// The place of a page among the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// Work, Clusters.
    Clusters,
    /// Profile, API Keys.
    Keys,
    /// Profile, Security.
    Security,
    /// Settings, Users.
    Users,
    /// Settings, Roles.
    Roles,
    /// Settings, Audit Logs.
    Audit,
    /// Settings, Clusters.
    ClusterSettings,
    /// None of them.
    Elsewhere,
}

/// What stands before the heading of every dialog.
const HEADING: &str = "<h2 id=\"dialog-title\">";

/// A page.
#[derive(Debug)]
pub(super) struct Page<'a> {
    /// Who looks.
    pub(super) reader: &'a Reader,
    /// Where it is.
    pub(super) place: Place,
    /// What it is called.
    pub(super) title: &'a str,
    /// What stands above its name: the group, or the way back.
    pub(super) over: Markup,
    /// A sentence or two below its name; may be empty.
    pub(super) about: Markup,
    /// What can be begun here; may be empty.
    pub(super) actions: Markup,
    /// The page itself.
    pub(super) main: Markup,
    /// What lies over it.
    pub(super) dialog: Option<Markup>,
    /// How it is answered.
    pub(super) status: StatusCode,
}

impl Page<'_> {
    /// The answer. What was just done is said once.
    pub(super) fn answer(self) -> HttpResponse {
        let reader = self.reader;
        let modal = self.dialog.is_some();
        let done = reader.done.as_deref().and_then(|code| reader.texts.done.said(code));
        let body = html! {
            a.skip href="#main" inert[modal] { (reader.texts.nav.skip) }
            (side(reader, self.place, modal))
            main #main tabindex="-1" inert[modal] {
                header.head {
                    div {
                        p.over { (self.over) }
                        h1 { (self.title) }
                        @if !self.about.0.is_empty() { p.sub { (self.about) } }
                    }
                    @if !self.actions.0.is_empty() { div.actions { (self.actions) } }
                }
                @if let Some(done) = done { (parts::notice(done)) }
                @if reader.kept.is_some() && !modal { (parts::notice(reader.texts.errors.kept)) }
                (self.main)
            }
            @if let Some(dialog) = &self.dialog {
                div.scrim {}
                (dialog)
            }
        };
        let failed = self.status.is_client_error() || self.status.is_server_error();
        let title = self.dialog.as_ref().and_then(heading).unwrap_or_else(|| self.title.to_owned());
        let title = titled(reader.texts, &title, failed);
        let mut response = html(self.status, document(reader.texts, &reader.app.assets.addresses, &title, "", body));
        if reader.done.is_some() {
            add(&mut response, &cookies::nothing_done());
        }
        if reader.kept.is_some() {
            add(&mut response, &cookies::nothing_kept());
        }
        response
    }
}

/// A title that says so where something went wrong: whoever hears a page read hears it first.
pub(super) fn titled(t: &Texts, title: &str, failed: bool) -> String {
    if failed { said(t.errors.in_title, title) } else { title.to_owned() }
}

/// What a dialog is called, for the title of its page: its heading, which never holds more than names.
fn heading(dialog: &Markup) -> Option<String> {
    let (_, rest) = dialog.0.split_once(HEADING)?;
    let (heading, _) = rest.split_once("</h2>")?;
    Some(heading.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&amp;", "&"))
}

/// A page without a way around: for those who are not signed in.
pub(super) fn bare(t: &Texts, assets: &Addresses, title: &str, main: Markup) -> Markup {
    let body = html! {
        main #main {
            p.brand { (t.nav.product) }
            (main)
        }
    };
    document(t, assets, title, "gate", body)
}

/// An answer with a page. Nobody keeps it: neither a cache nor, as far as browsers heed it, the way back.
pub(super) fn html(status: StatusCode, page: Markup) -> HttpResponse {
    HttpResponse::build(status).content_type("text/html; charset=utf-8").body(page.into_string())
}

fn document(t: &Texts, assets: &Addresses, title: &str, class: &str, body: Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang=(t.tag) {
            head {
                meta charset="utf-8";
                title { (title) " · " (t.nav.product) }
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="robots" content="noindex";
                link rel="icon" href=(assets.icon) type="image/svg+xml";
                link rel="stylesheet" href=(assets.style);
                script src=(assets.script) defer {}
            }
            body class=[(!class.is_empty()).then_some(class)] { (body) }
        }
    }
}

/// A link of the side: where it leads, and what it is called.
type Way<'a> = (Place, &'a str, &'a str);

fn side(reader: &Reader, here: Place, inert: bool) -> Markup {
    let t = &reader.texts.nav;
    let groups: [(&str, Vec<Way<'_>>); 3] = [
        (t.work, vec![(Place::Clusters, "/clusters", t.clusters)]),
        (
            t.profile,
            vec![(Place::Keys, "/profile/api-keys", t.keys), (Place::Security, "/profile/security", t.security)],
        ),
        (
            t.settings,
            [
                (reader.may::<ListUsers>(), (Place::Users, "/settings/users", t.users)),
                (reader.may::<ListRoles>(), (Place::Roles, "/settings/roles", t.roles)),
                (reader.may::<ReadAuditLog>(), (Place::Audit, "/settings/audit-logs", t.audit)),
                (reader.may::<AddCluster>(), (Place::ClusterSettings, "/settings/clusters", t.clusters)),
            ]
            .into_iter()
            .filter_map(|(may, link)| may.then_some(link))
            .collect(),
        ),
    ];
    html! {
        nav.side aria-label=(t.main) inert[inert] {
            a.brand href="/" { (t.product) }
            details.menu { summary.btn.small { (t.menu) } }
            div.links {
                @for (name, links) in groups.iter().filter(|(_, links)| !links.is_empty()) {
                    h2 { (name) }
                    ul {
                        @for (place, address, name) in links {
                            li { a href=(address) aria-current=[(*place == here).then_some("page")] { (name) } }
                        }
                    }
                }
                form.who method="post" action="/sign-out" {
                    (hidden(reader))
                    span.hint title=(said(t.signed_in_as, reader.name())) { (reader.name()) }
                    button.btn.small.plain { (t.sign_out) }
                }
            }
        }
    }
}

/// What has a form known as one of ours.
pub(super) fn hidden(reader: &Reader) -> Markup {
    html! { input type="hidden" name=(TOKEN) value=(reader.token); }
}

/// A picture that was drawn here.
pub(super) fn drawing(svg: &str) -> Markup {
    // Without the declaration of XML, which is no part of HTML.
    PreEscaped(svg.find("<svg").map_or("", |at| &svg[at..]).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dialog_is_called_what_its_heading_says() {
        let called = |title: &str| heading(&html! { dialog { h2 #dialog-title { (title) } p { "x" } } });
        for title in ["Revoke ci?", "Revoke <b>\"R&D\"</b> &amp;?", ""] {
            assert_eq!(called(title).as_deref(), Some(title));
        }
        assert_eq!(heading(&html! { p { "no dialog" } }), None);
    }
}
