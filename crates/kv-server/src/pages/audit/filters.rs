//! The filters of the audit log: as their form sends them, as an address has them, and as the store takes them.
//!
//! Nothing is loaded here. What is typed in as a time is UTC, and the form says so.

use super::HERE;
use crate::pages::{parts, reader::Reader};
use form_urlencoded::Serializer;
use kv_authz::audit::{Event, Outcome};
use kv_store::AuditFilter;
use maud::{Markup, html};
use serde::Deserialize;
use time::{
    Date, Duration, OffsetDateTime, PrimitiveDateTime, Time, format_description::well_known::Rfc3339,
    macros::format_description,
};

/// The filters as the page's form sends them: what is empty filters nothing.
#[derive(Debug, Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Filters {
    pub(super) user: String,
    agent: String,
    key_id: String,
    action: String,
    resource: String,
    cluster: String,
    namespace: String,
    outcome: String,
    status: String,
    since: Since,
    from: String,
    until: String,
    pub(super) cursor: Option<String>,
    pub(super) format: Option<Format>,
    /// What the script knows a download by.
    pub(super) download: Option<String>,
}

/// The form of an export.
#[derive(Debug, Clone, Copy, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(super) enum Format {
    Csv,
    Jsonl,
}

/// How far back.
#[derive(Debug, Clone, Copy, Deserialize, Default, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Since {
    Hour,
    #[default]
    Day,
    Week,
    Month,
    Ever,
    /// As the two times say.
    Range,
}

impl Since {
    fn word(self) -> &'static str {
        match self {
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
            Self::Ever => "ever",
            Self::Range => "range",
        }
    }

    fn time(self, now: OffsetDateTime) -> Option<OffsetDateTime> {
        let back = match self {
            Self::Hour => Duration::HOUR,
            Self::Day => Duration::DAY,
            Self::Week => Duration::WEEK,
            Self::Month => Duration::days(30),
            Self::Ever | Self::Range => return None,
        };
        Some(now - back)
    }
}

/// A time as it is typed: what a browser's own field sends (HTML §2.3.5), a day alone, or RFC 3339 with its offset. Where it
/// says no other, it is UTC.
fn moment(text: &str) -> Option<OffsetDateTime> {
    let minute = format_description!("[year]-[month]-[day]T[hour]:[minute]");
    let second = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]");
    let day = format_description!("[year]-[month]-[day]");
    let local = PrimitiveDateTime::parse(text, minute).or_else(|_| PrimitiveDateTime::parse(text, second));
    let local = local.or_else(|_| Date::parse(text, day).map(|day| PrimitiveDateTime::new(day, Time::MIDNIGHT)));
    local.map(PrimitiveDateTime::assume_utc).or_else(|_| OffsetDateTime::parse(text, &Rfc3339)).ok()
}

impl Filters {
    /// How far back: where times are given, they count.
    fn since(&self) -> Since {
        let given = |text: &str| !text.trim().is_empty();
        if given(&self.from) || given(&self.until) { Since::Range } else { self.since }
    }

    /// What to read, or which filter has a value that it cannot have.
    pub(super) fn filter(&self, now: OffsetDateTime) -> Result<AuditFilter, &'static str> {
        let text = |value: &str| Some(value.trim()).filter(|value| !value.is_empty()).map(str::to_owned);
        let time = |value: &str, name| text(value).map(|text| moment(&text).ok_or(name)).transpose();
        Ok(AuditFilter {
            id: None,
            user: text(&self.user),
            agent: text(&self.agent),
            key_id: text(&self.key_id).map(|text| text.parse().map_err(|_| "key_id")).transpose()?,
            action: text(&self.action).map(|text| text.parse().map_err(|_| "action")).transpose()?,
            resource: text(&self.resource),
            cluster: text(&self.cluster),
            namespace: text(&self.namespace),
            outcome: text(&self.outcome).map(|text| text.parse().map_err(|_| "outcome")).transpose()?,
            status: text(&self.status).map(|text| text.parse().map_err(|_| "status")).transpose()?,
            since: time(&self.from, "from")?.or_else(|| self.since().time(now)),
            until: time(&self.until, "until")?,
        })
    }

    /// The same filters at another address.
    pub(super) fn address(&self, there: &str, more: Option<(&str, &str)>) -> String {
        let mut pairs = Serializer::new(String::new());
        for (name, value) in [
            ("user", self.user.as_str()),
            ("agent", &self.agent),
            ("key_id", &self.key_id),
            ("action", &self.action),
            ("resource", &self.resource),
            ("cluster", &self.cluster),
            ("namespace", &self.namespace),
            ("outcome", &self.outcome),
            ("status", &self.status),
            ("since", self.since().word()),
            ("from", &self.from),
            ("until", &self.until),
        ] {
            if !value.is_empty() {
                pairs.append_pair(name, value);
            }
        }
        if let Some((name, value)) = more {
            pairs.append_pair(name, value);
        }
        format!("{there}?{}", pairs.finish())
    }
}

/// The form of the filters, with what was chosen.
pub(super) fn form(reader: &Reader, filters: &Filters, wrong: Option<&str>) -> Markup {
    let t = &reader.texts.audit;
    let text = |name: &str, label: &str, value: &str| {
        html! {
            label { (label) " "
                input name=(name) value=(value) placeholder=(t.any) autocomplete="off" spellcheck="false"
                    aria-invalid=[(wrong == Some(name)).then_some("true")];
            }
        }
    };
    let since = [
        (Since::Hour, t.hour),
        (Since::Day, t.day),
        (Since::Week, t.week),
        (Since::Month, t.month),
        (Since::Ever, t.ever),
        (Since::Range, t.range),
    ];
    let chosen = filters.since();
    let time = |name: &str, label: &str, value: &str| {
        html! {
            label { (label) " "
                input type="datetime-local" step="1" name=(name) value=(value)
                    aria-invalid=[(wrong == Some(name)).then_some("true")];
            }
        }
    };
    let select = |name: &str, label: &str, value: &str, options: &mut dyn Iterator<Item = &'static str>| {
        html! {
            label { (label) " "
                select name=(name) {
                    option value="" { (t.any) }
                    @for option in options { option selected[option == value] { (option) } }
                }
            }
        }
    };
    let outcomes = [Outcome::Succeeded, Outcome::Denied, Outcome::Failed, Outcome::Unknown];
    html! {
        @if wrong.is_some() { (parts::alert(t.malformed)) }
        form.filters method="get" action=(HERE) role="search" aria-label=(t.filter) {
            (text("user", t.user, &filters.user))
            (text("agent", t.agent, &filters.agent))
            (text("key_id", t.key_id, &filters.key_id))
            (select("action", t.action, &filters.action, &mut Event::ALL.iter().map(|event| event.as_str())))
            (text("resource", t.resource, &filters.resource))
            (text("cluster", t.cluster, &filters.cluster))
            (text("namespace", t.namespace, &filters.namespace))
            (select("outcome", t.outcome, &filters.outcome, &mut outcomes.iter().map(|outcome| outcome.as_str())))
            (text("status", t.status, &filters.status))
            label { (t.since) " "
                select name="since" {
                    @for (since, name) in since {
                        option value=(since.word()) selected[since == chosen] { (name) }
                    }
                }
            }
            (time("from", t.from, &filters.from))
            (time("until", t.until, &filters.until))
            button.btn.small { (t.apply) }
            a.btn.small.plain href=(HERE) { (t.clear) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    #[test]
    fn a_time_without_an_offset_is_utc() {
        for (typed, time) in [
            ("2027-01-31T12:30", datetime!(2027-01-31 12:30 UTC)),
            ("2027-01-31T12:30:59", datetime!(2027-01-31 12:30:59 UTC)),
            ("2027-01-31", datetime!(2027-01-31 0:00 UTC)),
            ("2027-01-31T12:30:00+02:00", datetime!(2027-01-31 10:30 UTC)),
            ("2027-01-31T12:30:00.5Z", datetime!(2027-01-31 12:30:00.5 UTC)),
        ] {
            assert_eq!(moment(typed), Some(time), "{typed}");
        }
        for typed in ["", "yesterday", "2027-02-30", "2027-01-31T25:00", "31.1.2027"] {
            assert_eq!(moment(typed), None, "{typed}");
        }
    }

    #[test]
    fn times_count_before_a_period() {
        let now = datetime!(2027-01-31 12:00 UTC);
        let filters =
            |from: &str, until: &str| Filters { from: from.into(), until: until.into(), ..Filters::default() };
        let period = |filters: &Filters| filters.filter(now).map(|filter| (filter.since, filter.until));
        assert_eq!(period(&filters("", "")), Ok((Some(now - Duration::DAY), None)));
        assert_eq!(period(&filters("2026-01-01", "")), Ok((Some(datetime!(2026-01-01 0:00 UTC)), None)));
        assert_eq!(period(&filters(" ", "2026-01-01")), Ok((None, Some(datetime!(2026-01-01 0:00 UTC)))));
        assert_eq!(period(&filters("x", "")), Err("from"));
        assert_eq!(period(&filters("", "x")), Err("until"));
        assert!(filters("2026-01-01", "").address(HERE, None).ends_with("?since=range&from=2026-01-01"));
    }
}
