//! The sections of a user's page.
//!
//! Nothing is loaded here.

use super::{
    factor,
    user::{Known, SessionsQuery},
};
use crate::{
    operations::list_api_keys::Overview,
    pages::{
        api_keys::{Slice, TableQuery, keys_table, more, slice, tabs},
        layout::hidden,
        parts,
        reader::Reader,
        security::sessions::client,
        settings::Select,
        texts::said,
    },
};
use kv_authz::action::{AssignUser, ChangeRoleOfUser, EndUserSessions, RevokeUserApiKeys, UnassignUser};
use kv_store::{Page, SessionRecord, UserRecord};
use maud::{Markup, html};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

/// Every cluster, where one is chosen. No cluster's name has this character.
pub(super) const EVERY: &str = "*";

/// What was typed into the forms of the page, and what is wrong with it.
#[derive(Debug, Default)]
pub(super) struct Typed {
    /// The role chosen.
    pub(super) role: Option<String>,
    pub(super) role_error: Option<String>,
    /// The cluster chosen, and the namespaces typed.
    pub(super) place: Option<(String, String)>,
    pub(super) cluster_error: Option<String>,
    pub(super) namespaces_error: Option<String>,
}

fn section(id: &str, title: &str, hint: &str, action: Markup, body: Markup) -> Markup {
    html! {
        section.block aria-labelledby=(id) {
            header {
                div {
                    h2 id=(id) { (title) }
                    @if !hint.is_empty() { p.hint { (hint) } }
                }
                (action)
            }
            (body)
        }
    }
}

/// The role, to be changed where that is the reader's to do.
pub(super) fn role(reader: &Reader, known: &Known, typed: &Typed) -> Markup {
    let (t, action) = (&reader.texts.users, format!("{}/role", known.address()));
    let now = known.user.role.name();
    let may = known.governed && reader.may::<ChangeRoleOfUser>();
    // Where a code is owed, it is asked for before anything is chosen.
    let body = if (may && !reader.owes_code::<ChangeRoleOfUser>()) || typed.role_error.is_some() {
        let value = typed.role.as_deref().unwrap_or(now);
        let mut options: Vec<_> = known.roles.iter().map(|name| (name.as_str(), name.as_str())).collect();
        if !known.roles.iter().any(|name| name == value) {
            options.push((value, value));
        }
        let error = typed.role_error.as_deref();
        html! {
            form.row method="post" action=(action) {
                (hidden(reader))
                (Select { name: "role", label: t.role, options, value, error, first: typed.role.is_some() })
                button.btn data-busy=(t.saving) { (t.save_role) }
            }
        }
    } else {
        html! {
            p { b { (now) } }
            @if may { p.pager { a.btn href=(action) { (t.change_role) } } }
        }
    };
    section("role-title", t.role, t.role_hint, html! {}, body)
}

/// What is assigned, to be added to and taken from.
pub(super) fn assignments(reader: &Reader, known: &Known, typed: &Typed) -> Markup {
    let (t, here) = (&reader.texts.users, known.address());
    let may = known.assignable && reader.may::<AssignUser>();
    let takes = known.assignable && reader.may::<UnassignUser>();
    let wrong = typed.cluster_error.is_some() || typed.namespaces_error.is_some();
    let asks = wrong || (may && !reader.owes_code::<AssignUser>());
    let body = html! {
        @if known.lines.is_empty() {
            @if !asks { p.dim { (t.none_assigned) } }
        } @else {
            div.table {
                table {
                    caption.sr { (t.assignments) }
                    thead {
                        tr {
                            th scope="col" { (t.cluster) }
                            th scope="col" { (t.namespaces) }
                            th scope="col" { span.sr { (t.remove) } }
                        }
                    }
                    tbody {
                        @for line in &known.lines {
                            @let name = line.cluster.as_deref().unwrap_or(t.every_cluster);
                            tr {
                                th scope="row" { (name) }
                                td data-label=(t.namespaces) {
                                    @match &line.namespaces {
                                        None => span.dim { (t.all_namespaces) },
                                        Some(names) => (names.join(", ")),
                                    }
                                }
                                td.do {
                                    @if takes {
                                        a.btn.small.risky aria-label=(said(t.remove_named, name))
                                            href=(removal(&here, line.cluster.as_deref().unwrap_or(EVERY))) { (t.remove) }
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
        @if asks { (new_assignment(reader, known, typed)) }
        @else if may { p.pager { a.btn href={ (here) "/assignments/new" } { (t.assign) } } }
    };
    let hint = if known.user.role.reaches_everything() { t.assignments_admin } else { t.assignments_hint };
    section("assignments", t.assignments, hint, html! {}, body)
}

/// Where what a user has for a cluster is taken from them.
pub(super) fn removal(here: &str, cluster: &str) -> String {
    format!("{here}/assignments/remove?cluster={}", utf8_percent_encode(cluster, NON_ALPHANUMERIC))
}

fn new_assignment(reader: &Reader, known: &Known, typed: &Typed) -> Markup {
    let t = &reader.texts.users;
    let (cluster, namespaces) =
        typed.place.as_ref().map_or(("", ""), |(cluster, namespaces)| (cluster.as_str(), namespaces.as_str()));
    // Nothing is chosen at first: one press too many must not give everything.
    let mut options = vec![("", t.choose), (EVERY, t.every_cluster)];
    options.extend(known.clusters.iter().map(|name| (name.as_str(), name.as_str())));
    if !options.iter().any(|(value, _)| *value == cluster) {
        options.push((cluster, cluster));
    }
    let wrong = typed.namespaces_error.as_deref();
    html! {
        form.row method="post" action={ (known.address()) "/assignments/new" } {
            (hidden(reader))
            (Select {
                name: "cluster", label: t.cluster, options, value: cluster, error: typed.cluster_error.as_deref(),
                first: typed.place.is_some() && wrong.is_none(),
            })
            div.field {
                label for="namespaces" { (t.namespaces) }
                input #namespaces name="namespaces" value=(namespaces) placeholder=(t.all_namespaces) autocomplete="off"
                    autocapitalize="none" spellcheck="false" autofocus[wrong.is_some()]
                    aria-invalid=[wrong.map(|_| "true")] aria-describedby={
                        @if wrong.is_some() { "namespaces-error " }
                        "namespaces-hint"
                    };
                (parts::below("namespaces", "", wrong))
            }
            button.btn data-busy=(t.adding) { (t.add) }
        }
        // Below the line, so that its fields stand side by side.
        p #namespaces-hint.hint.legend { (t.namespaces_hint) }
    }
}

/// Their keys.
pub(super) fn keys(reader: &Reader, known: &Known, keys: &Overview, table: &TableQuery) -> Markup {
    let (t, here) = (&reader.texts.users, format!("{}/api-keys", known.address()));
    let Slice { keys: shown, next } = slice(&keys.page, table, &here);
    let action = html! {
        @if reader.may::<RevokeUserApiKeys>() && keys.counts.live > 0 {
            a.btn.risky href={ (here) "/revoke-all" } {
                @match keys.counts.live {
                    1 => (t.revoke_all),
                    live => (said(t.revoke_all_of, live)),
                }
            }
        }
    };
    let body = html! {
        (tabs(reader, &keys.counts, table, &here))
        @if shown.is_empty() { p.dim { (t.no_keys) } }
        @else { (keys_table(reader, shown, &here, table.state, table.sort)) }
        (more(reader, next.as_deref()))
    };
    section("keys", t.keys, t.keys_hint, action, body)
}

/// Their sessions.
pub(super) fn sessions(
    reader: &Reader,
    known: &Known,
    sessions: &Page<SessionRecord>,
    wanted: &SessionsQuery,
) -> Markup {
    let (t, here) = (&reader.texts.users, format!("{}/sessions", known.address()));
    let ends = reader.may::<EndUserSessions>();
    let action = html! {
        @if ends && !sessions.items.is_empty() { a.btn.risky href={ (here) "/end" } { (t.end_all) } }
    };
    let body = html! {
        @if sessions.items.is_empty() { p.dim { (t.no_sessions) } } @else {
            div.table {
                table {
                    caption.sr { (t.sessions) }
                    thead {
                        tr {
                            @for name in [t.session, t.address, t.signed_in, t.ends] { th scope="col" { (name) } }
                            th scope="col" { span.sr { (t.end) } }
                        }
                    }
                    tbody { @for session in &sessions.items { (session_row(reader, &here, session, ends)) } }
                }
            }
        }
        @if wanted.cursor.is_some() || sessions.next.is_some() {
            p.pager {
                @if wanted.cursor.is_some() {
                    a.btn.small href={ (known.address()) "#sessions" } rel="first" { (reader.texts.nav.first) }
                }
                @if let Some(next) = sessions.next {
                    a.btn.small href={ (here) "?cursor=" (next) "#sessions" } rel="next" { (reader.texts.nav.more) }
                }
            }
        }
    };
    section("sessions", t.sessions, t.sessions_hint, action, body)
}

fn session_row(reader: &Reader, here: &str, session: &SessionRecord, ends: bool) -> Markup {
    let (t, now) = (&reader.texts.users, reader.now);
    let client = client(reader.texts, &session.user_agent);
    html! {
        tr {
            th scope="row" { (client) }
            td data-label=(t.address) { span.mono { (session.ip.as_deref().unwrap_or(t.unknown)) } }
            td data-label=(t.signed_in) { (parts::distance(reader.texts, session.created_at, now)) }
            td data-label=(t.ends) { (parts::distance(reader.texts, session.expires_at, now)) }
            td.do {
                @if ends {
                    a.btn.small.risky href={ (here) "/" (session.id) "/end" } aria-label=(said(t.end_named, &client)) { (t.end) }
                }
            }
        }
    }
}

/// What else is known of a user.
pub(super) fn facts(reader: &Reader, user: &UserRecord) -> Markup {
    let t = &reader.texts.users;
    let body = html! {
        dl.facts {
            div { dt { (t.second_factor) } dd { (factor(reader, user)) } }
            div { dt { (t.created) } dd { (parts::moment(user.created_at)) } }
            @if let Some(at) = user.disabled_at { div { dt { (t.disabled_since) } dd { (parts::moment(at)) } } }
            div { dt { (t.id) } dd { code { (user.id) } } }
        }
    };
    section("facts", t.facts, "", html! {}, body)
}
