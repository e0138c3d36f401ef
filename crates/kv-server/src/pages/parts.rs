//! The parts that pages are made of: pills, times, fields, tables, dialogs. Their look is the stylesheet's.
//!
//! No part knows what it shows.

use super::{
    layout::hidden,
    reader::Reader,
    texts::{Texts, said},
};
use maud::{Markup, PreEscaped, Render, html};
use time::{OffsetDateTime, format_description::well_known::Rfc3339, macros::format_description};

/// How a state is coloured; it is always a word as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tone {
    Plain,
    Good,
    Warning,
    Bad,
}

impl Tone {
    fn class(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Good => " ok",
            Self::Warning => " warn",
            Self::Bad => " bad",
        }
    }
}

/// A state.
pub(super) fn pill(tone: Tone, word: &str) -> Markup {
    html! { span class={ "pill" (tone.class()) } { (word) } }
}

/// What was just done, or what is to be known.
pub(super) fn notice(words: &str) -> Markup {
    html! { p.notice.ok role="status" { (words) } }
}

/// What went wrong and belongs to no field.
pub(super) fn alert(words: &str) -> Markup {
    html! { p.notice.bad role="alert" { (words) } }
}

/// A moment, as its reader's clock shows it once the script has run; in UTC until then.
pub(super) fn moment(at: OffsetDateTime) -> Markup {
    let shown = at.format(format_description!("[day padding:none] [month repr:short] [year], [hour]:[minute] UTC"));
    time(at, &shown.unwrap_or_default(), "", false)
}

/// The same to the millisecond, for logs.
pub(super) fn stamp(at: OffsetDateTime) -> Markup {
    let format =
        format_description!("[day padding:none] [month repr:short] [hour]:[minute]:[second].[subsecond digits:3]");
    time(at, &at.format(format).unwrap_or_default(), "stamp", false)
}

/// The same with its day and zone, for one entry of a log.
pub(super) fn exact(at: OffsetDateTime) -> Markup {
    let format = format_description!(
        "[day padding:none] [month repr:short] [year], [hour]:[minute]:[second].[subsecond digits:3] UTC"
    );
    time(at, &at.format(format).unwrap_or_default(), "full", false)
}

/// A day.
pub(super) fn day(at: OffsetDateTime) -> Markup {
    let shown = at.format(format_description!("[day padding:none] [month repr:short] [year]"));
    time(at, &shown.unwrap_or_default(), "date", false)
}

/// How long ago something was, or will be; a day where that is far.
pub(super) fn distance(t: &Texts, at: OffsetDateTime, now: OffsetDateTime) -> Markup {
    let t = &t.states;
    let minutes = (now - at).whole_minutes();
    let words = match minutes {
        -1..=0 => t.now.to_owned(),
        1..60 => said(t.minutes_ago, minutes),
        60..1440 => said(t.hours_ago, minutes / 60),
        1440..2880 => t.yesterday.to_owned(),
        2880..86400 => said(t.days_ago, minutes / 1440),
        -59..-1 => said(t.in_minutes, -minutes),
        -1439..-59 => said(t.in_hours, -minutes / 60),
        -2879..-1439 => t.tomorrow.to_owned(),
        -86399..-2879 => said(t.in_days, -minutes / 1440),
        _ => return day(at),
    };
    time(at, &words, "", true)
}

fn time(at: OffsetDateTime, shown: &str, form: &str, relative: bool) -> Markup {
    // Digits and signs that mean nothing in HTML, and half of what a page of entries would have escaped.
    let exact = PreEscaped(at.format(&Rfc3339).unwrap_or_default());
    html! {
        time datetime=(exact) title=(exact) data-as=[(!form.is_empty()).then_some(form)] data-relative[relative] { (shown) }
    }
}

/// What is typed into a form.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Field<'a> {
    /// Its name, and its id.
    pub(super) name: &'a str,
    /// What it is called.
    pub(super) label: &'a str,
    /// What stands in it.
    pub(super) value: &'a str,
    /// What to know about it; may be empty.
    pub(super) hint: &'a str,
    /// What is wrong with it.
    pub(super) error: Option<&'a str>,
    /// `text` where it is empty.
    pub(super) kind: &'a str,
    /// What browsers may fill in (HTML §4.10.18.7); `off` where it is empty.
    pub(super) autocomplete: &'a str,
    /// Whether it may stay empty.
    pub(super) optional: bool,
    /// Whether the cursor is in it at first.
    pub(super) first: bool,
    /// The most characters.
    pub(super) longest: Option<usize>,
}

impl Render for Field<'_> {
    fn render(&self) -> Markup {
        let kind = if self.kind.is_empty() { "text" } else { self.kind };
        let autocomplete = if self.autocomplete.is_empty() { "off" } else { self.autocomplete };
        html! {
            div.field {
                label for=(self.name) { (self.label) }
                input id=(self.name) name=(self.name) type=(kind) value=(self.value) autocomplete=(autocomplete)
                    autocapitalize="none" spellcheck="false" required[!self.optional] autofocus[self.first]
                    maxlength=[self.longest] aria-invalid=[self.error.map(|_| "true")]
                    aria-describedby=[described(self.name, self.hint, self.error)];
                (below(self.name, self.hint, self.error))
            }
        }
    }
}

/// What describes a field, by its ids.
pub(super) fn described(name: &str, hint: &str, error: Option<&str>) -> Option<String> {
    match (error, hint) {
        (Some(_), _) => Some(format!("{name}-error")),
        (None, "") => None,
        (None, _) => Some(format!("{name}-hint")),
    }
}

/// What stands below a field: what is wrong with it, else what to know about it.
pub(super) fn below(name: &str, hint: &str, error: Option<&str>) -> Markup {
    html! {
        @if let Some(error) = error { p.error id=(format!("{name}-error")) { (error) } }
        @else if !hint.is_empty() { p.hint id=(format!("{name}-hint")) { (hint) } }
    }
}

/// The field for a code of the second factor or a recovery code.
pub(super) fn code_field(t: &Texts, error: Option<&str>) -> Markup {
    let t = &t.sign_in;
    html! {
        div.field {
            label for="code" { (t.code) }
            input #code.code name="code" autocomplete="one-time-code" autocapitalize="none" spellcheck="false" required
                autofocus aria-invalid=[error.map(|_| "true")] aria-describedby=[described("code", t.code_hint, error)];
            (below("code", t.code_hint, error))
        }
    }
}

/// What a dialog asks, and what its button does.
#[derive(Debug)]
pub(super) struct Dialog<'a> {
    /// Its heading.
    pub(super) title: &'a str,
    /// What it says first.
    pub(super) lead: Markup,
    /// What is filled in.
    pub(super) fields: Markup,
    /// Where its form is sent, which is where it stands.
    pub(super) action: &'a str,
    /// Where it is left to.
    pub(super) cancel: &'a str,
    /// What its button says.
    pub(super) button: &'a str,
    /// What the button says meanwhile.
    pub(super) busy: &'a str,
    /// Whether it takes something away.
    pub(super) danger: bool,
}

impl Dialog<'_> {
    /// Its markup.
    pub(super) fn markup(&self, reader: &Reader) -> Markup {
        let kind = if self.danger { "btn danger" } else { "btn primary" };
        html! {
            dialog class=[self.danger.then_some("narrow")] open data-modal aria-modal="true"
                aria-labelledby="dialog-title" aria-describedby="dialog-text" {
                h2 #dialog-title { (self.title) }
                p #dialog-text { (self.lead) }
                form method="post" action=(self.action) {
                    (hidden(reader))
                    @if reader.kept.is_some() { (notice(reader.texts.errors.kept)) }
                    (self.fields)
                    div.actions {
                        a.btn href=(self.cancel) data-cancel autofocus[self.fields.0.is_empty()] { (reader.texts.nav.cancel) }
                        button class=(kind) data-busy=(self.busy) { (self.button) }
                    }
                }
            }
        }
    }
}

/// Tabs: the name, the address, and whether it is here.
pub(super) fn tabs(label: &str, tabs: &[(&str, String, bool)]) -> Markup {
    html! {
        nav.tabs aria-label=(label) {
            @for (name, address, here) in tabs {
                a href=(address) aria-current=[here.then_some("page")] { (name) }
            }
        }
    }
}
