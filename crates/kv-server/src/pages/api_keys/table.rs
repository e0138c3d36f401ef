//! The table of keys: one's own, and those of a user in the settings.
//!
//! Nothing is loaded here.

use super::TableQuery;
use crate::{
    api::api_keys::EffectivePermissions,
    operations::list_api_keys::Listed,
    pages::{
        parts,
        reader::Reader,
        texts::{Texts, said},
    },
};
use kv_authz::{KeyState, action::ReadAuditLog};
use kv_store::KeyCounts;
use maud::{Markup, html};
use serde::Deserialize;
use std::cmp::Reverse;

/// Which keys are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(in crate::pages) enum Tab {
    /// Those that count.
    #[default]
    Live,
    /// Those whose time is over.
    Expired,
    /// Those that were revoked.
    Revoked,
}

/// In which order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(in crate::pages) enum Sort {
    /// The newest first.
    #[default]
    Created,
    /// By name.
    Name,
    /// The last used first.
    Used,
    /// What ends soonest first.
    Expires,
}

impl Tab {
    /// Whether a key in this state is among them.
    pub(in crate::pages) fn shows(self, state: KeyState) -> bool {
        match self {
            Self::Live => matches!(state, KeyState::Active | KeyState::Expiring),
            Self::Expired => state == KeyState::Expired,
            Self::Revoked => state == KeyState::Revoked,
        }
    }

    /// Where they are shown.
    pub(in crate::pages) fn address(self, here: &str, sort: Sort) -> String {
        let state = match self {
            Self::Live => "live",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
        };
        format!("{here}?state={state}&sort={}", sort.word())
    }
}

impl Sort {
    fn word(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Name => "name",
            Self::Used => "used",
            Self::Expires => "expires",
        }
    }

    fn apply(self, keys: &mut [&Listed]) {
        match self {
            Self::Created => keys.sort_by_key(|listed| Reverse(listed.key.created_at)),
            Self::Name => keys.sort_by_key(|listed| listed.key.name.to_lowercase()),
            Self::Used => keys.sort_by_key(|listed| Reverse(listed.key.last_used_at)),
            Self::Expires => keys.sort_by_key(|listed| (listed.key.expires_at.is_none(), listed.key.expires_at)),
        }
    }
}

/// Keys on a page: light enough to be there at once.
const A_PAGE: usize = 50;

/// A page of a table.
pub(in crate::pages) struct Slice<'a> {
    /// Its keys, in their order.
    pub(in crate::pages) keys: Vec<&'a Listed>,
    /// Where the next one is.
    pub(in crate::pages) next: Option<String>,
}

/// The page that is asked for. Those that are live or expired are loaded whole, so that their order is that of all of them.
pub(in crate::pages) fn slice<'a>(loaded: &'a kv_store::Page<Listed>, wanted: &TableQuery, here: &str) -> Slice<'a> {
    let mut keys: Vec<_> = loaded.items.iter().filter(|listed| wanted.state.shows(listed.state)).collect();
    wanted.sort.apply(&mut keys);
    let here = wanted.state.address(here, wanted.sort);
    let next = match keys.len() > wanted.from.saturating_add(A_PAGE) {
        true => Some(format!("{here}&from={}", wanted.from + A_PAGE)),
        false => loaded.next.map(|next| format!("{here}&cursor={next}")),
    };
    Slice { keys: keys.into_iter().skip(wanted.from).take(A_PAGE).collect(), next }
}

/// The ways to the tables of each kind, with how many keys there are.
pub(in crate::pages) fn tabs(reader: &Reader, counts: &KeyCounts, wanted: &TableQuery, here: &str) -> Markup {
    let t = &reader.texts.keys;
    let kinds = [
        (t.tab_live, counts.live, Tab::Live),
        (t.tab_expired, counts.expired, Tab::Expired),
        (t.tab_revoked, counts.revoked, Tab::Revoked),
    ];
    let named = kinds.map(|(name, count, tab)| (said(name, count), tab));
    let all: Vec<_> =
        named.iter().map(|(name, tab)| (name.as_str(), tab.address(here, wanted.sort), wanted.state == *tab)).collect();
    parts::tabs(t.state, &all)
}

/// The way to the next page.
pub(in crate::pages) fn more(reader: &Reader, next: Option<&str>) -> Markup {
    html! {
        @if let Some(next) = next { p.pager { a.btn.small href=(next) rel="next" { (reader.texts.nav.more) } } }
    }
}

/// The table. Where a key is revoked is below `here`.
pub(in crate::pages) fn keys_table(reader: &Reader, keys: Vec<&Listed>, here: &str, tab: Tab, sort: Sort) -> Markup {
    let t = &reader.texts.keys;
    let head = |name: &str, by: Sort| {
        let order = if by == Sort::Created || by == Sort::Used { "descending" } else { "ascending" };
        html! {
            th scope="col" aria-sort=[(sort == by).then_some(order)] { a href=(tab.address(here, by)) { (name) } }
        }
    };
    html! {
        div.table {
            table {
                caption.sr { (t.title) }
                thead {
                    tr {
                        (head(t.name, Sort::Name))
                        th scope="col" { (t.key) }
                        (head(t.created, Sort::Created))
                        (head(t.last_used, Sort::Used))
                        (head(t.expires, Sort::Expires))
                        th scope="col" { (t.state) }
                        th scope="col" { span.sr { (t.revoke) } }
                    }
                }
                tbody { @for listed in keys { (row(reader, listed, here)) } }
            }
        }
    }
}

fn row(reader: &Reader, Listed { key, state }: &Listed, here: &str) -> Markup {
    let (t, now) = (&reader.texts.keys, reader.now);
    html! {
        tr {
            th scope="row" { (key.name) }
            td data-label=(t.key) {
                @if reader.may::<ReadAuditLog>() {
                    a href={ "/settings/audit-logs?since=ever&key_id=" (key.id) } title=(said(t.log_of, &key.name)) {
                        code.dim.nowrap { (key.prefix) "…" }
                    }
                } @else {
                    code.dim.nowrap { (key.prefix) "…" }
                }
            }
            td.dim data-label=(t.created) { (parts::day(key.created_at)) }
            td data-label=(t.last_used) {
                @match key.last_used_at {
                    Some(at) => {
                        (parts::distance(reader.texts, at, now))
                        @if let Some(ip) = &key.last_used_ip { " " small.mono { (ip) } }
                    }
                    None => span.dim { (reader.texts.states.never_used) },
                }
            }
            td data-label=(t.expires) {
                @match key.expires_at {
                    Some(at) => (parts::distance(reader.texts, at, now)),
                    None => span.dim { (reader.texts.states.never) },
                }
            }
            td data-label=(t.state) { (state_pill(reader, *state)) }
            td.do {
                @if *state != KeyState::Revoked {
                    a.btn.small.risky href={ (here) "/" (key.id) "/revoke" } aria-label=(said(t.revoke_named, &key.name)) {
                        (t.revoke)
                    }
                }
            }
        }
    }
}

/// What revoking a key does.
pub(in crate::pages) fn revoke_lead(reader: &Reader, Listed { key, .. }: &Listed) -> Markup {
    let t = &reader.texts.keys;
    let (used, from) = t.revoke_used.split_once("{}").unwrap_or((t.revoke_used, ""));
    html! {
        (t.revoke_what) " "
        @match (key.last_used_at, &key.last_used_ip) {
            (Some(at), Some(ip)) => {
                (used) (parts::distance(reader.texts, at, reader.now)) (said(from, ip))
            }
            _ => (t.revoke_unused),
        }
        " " (t.revoke_final)
    }
}

/// What a key of somebody with these rights can do, in words.
pub(super) fn what_it_can(texts: &Texts, rights: &EffectivePermissions) -> String {
    let t = &texts.keys;
    if rights.assignments.is_empty() {
        return t.nowhere.into();
    }
    let places = rights.assignments.iter().map(|line| {
        let cluster = line.cluster.as_deref().unwrap_or(t.every_cluster);
        let namespaces = line.namespaces.as_ref().map_or(t.all_namespaces.to_owned(), |names| names.join(", "));
        format!("{cluster} ({namespaces})")
    });
    format!("{} {}", said(t.on, &rights.role), places.collect::<Vec<_>>().join(", "))
}

/// A key's state in a word.
fn state_pill(reader: &Reader, state: KeyState) -> Markup {
    let t = &reader.texts.states;
    match state {
        KeyState::Active => parts::pill(parts::Tone::Good, t.active),
        KeyState::Expiring => parts::pill(parts::Tone::Warning, t.expiring),
        KeyState::Expired => parts::pill(parts::Tone::Bad, t.expired),
        KeyState::Revoked => parts::pill(parts::Tone::Plain, t.revoked),
    }
}
