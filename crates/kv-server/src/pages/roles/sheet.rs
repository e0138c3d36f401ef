//! The form of a role: a box for what is given most, and lines for the rest.
//!
//! Nothing is loaded or decided here.

use super::{VERBS, atoms, row_name, rows};
use crate::pages::{
    form::Form,
    layout::hidden,
    parts::{self, Field},
    reader::Reader,
    settings::Refusal,
    texts::{Roles, said},
};
use kv_authz::Pattern;
use kv_store::RoleRecord;
use maud::{Markup, html};
use std::collections::BTreeSet;

/// The longest name, in bytes.
const MAX_NAME: usize = 64;

/// What stands in the form.
#[derive(Debug, Default)]
pub(super) struct Typed {
    pub(super) name: String,
    /// The patterns ticked, and those of other roles that the form has no box for.
    ticked: BTreeSet<String>,
    more: String,
}

/// What is wrong with it.
#[derive(Debug, Default)]
pub(super) struct Wrong {
    name: Option<String>,
    more: Option<String>,
    all: Option<String>,
}

impl Typed {
    /// As the role has it now.
    pub(super) fn of(role: &RoleRecord, t: &Roles) -> Self {
        let boxes = boxes(t);
        let (ticked, more): (Vec<_>, Vec<_>) =
            role.grants.iter().map(ToString::to_string).partition(|grant| boxes.contains(grant));
        Self { name: role.name.clone(), ticked: ticked.into_iter().collect(), more: more.join("\n") }
    }

    /// As it was sent.
    pub(super) fn sent(form: &Form) -> Self {
        let ticked = form.all("grant").map(str::to_owned).collect();
        Self { name: form.text("name").trim().to_owned(), ticked, more: form.text("more").to_owned() }
    }

    /// What the role shall hold.
    ///
    /// # Errors
    /// What is no permission.
    pub(super) fn grants(&self, t: &Roles) -> Result<Vec<Pattern>, Wrong> {
        let lines = self.more.lines().map(str::trim).filter(|line| !line.is_empty());
        let mut grants = BTreeSet::new();
        for text in self.ticked.iter().map(String::as_str).chain(lines) {
            let shown: String = text.chars().take(80).collect();
            let pattern: Pattern =
                text.parse().map_err(|_| Wrong { more: Some(said(t.malformed, shown)), ..Wrong::default() })?;
            grants.insert(pattern);
        }
        Ok(grants.into_iter().collect())
    }
}

impl Wrong {
    /// What a refusal is about.
    pub(super) fn of(refusal: Refusal) -> Self {
        let words = Some(refusal.words);
        match refusal.code {
            "invalid_name" | "name_taken" => Self { name: words, ..Self::default() },
            "too_many_grants" => Self { more: words, ..Self::default() },
            _ => Self { all: words, ..Self::default() },
        }
    }
}

/// Every pattern that the form has a box for.
fn boxes(t: &Roles) -> BTreeSet<String> {
    let resources = rows().map(|(resource, _)| resource.as_str().to_owned()).chain(["*".to_owned()]);
    let mut all: BTreeSet<_> =
        resources.flat_map(|name| VERBS.map(|verb| format!("{name}:{}", verb.as_str()))).collect();
    all.extend(atoms(t).into_iter().map(|(atom, _, _)| atom.to_string()));
    all
}

/// The form, with its button; without one it is to be looked at only.
pub(super) fn form(reader: &Reader, action: &str, typed: &Typed, wrong: &Wrong, button: Option<[&str; 2]>) -> Markup {
    let t = &reader.texts.roles;
    let shut = button.is_none();
    html! {
        form method="post" action=(action) {
            (hidden(reader))
            @if let Some(words) = &wrong.all { (parts::alert(words)) }
            @if !shut {
                (Field {
                    name: "name", label: t.name, value: &typed.name, hint: t.name_hint, error: wrong.name.as_deref(),
                    longest: Some(MAX_NAME), first: typed.name.is_empty() || wrong.name.is_some(), ..Field::default()
                })
            }
            (matrix(t, typed, shut))
            fieldset.field disabled[shut] {
                legend { (t.also) }
                @for (atom, _, name) in atoms(t) {
                    @let atom = atom.to_string();
                    label.check {
                        input type="checkbox" name="grant" value=(atom) checked[typed.ticked.contains(&atom)];
                        span { (name) " " code.dim { (atom) } }
                    }
                }
            }
            div.field {
                label for="more" { (t.more) }
                textarea #more name="more" rows="4" autocomplete="off" autocapitalize="none" spellcheck="false"
                    disabled[shut] autofocus[wrong.more.is_some()] aria-invalid=[wrong.more.as_ref().map(|_| "true")]
                    aria-describedby=[parts::described("more", t.more_hint, wrong.more.as_deref())] { (typed.more) }
                (parts::below("more", t.more_hint, wrong.more.as_deref()))
            }
            @if let Some([name, busy]) = button { div.field { button.btn.primary data-busy=(busy) { (name) } } }
        }
    }
}

fn matrix(t: &Roles, typed: &Typed, shut: bool) -> Markup {
    let row = |name: Markup, resource: &str| {
        html! {
            tr {
                th scope="row" { (name) }
                @for (verb, word) in VERBS.into_iter().zip([t.read, t.write, t.delete]) {
                    @let pattern = format!("{resource}:{}", verb.as_str());
                    td {
                        label {
                            input type="checkbox" name="grant" value=(pattern) checked[typed.ticked.contains(&pattern)]
                                disabled[shut];
                            span.sr { (resource) ": " (word) }
                        }
                    }
                }
            }
        }
    };
    html! {
        section.block {
            header { h2 #matrix-title { (t.permissions) } }
            div.table.scroll tabindex="0" role="region" aria-labelledby="matrix-title" {
                table.checks {
                    thead { tr { @for name in [t.resource, t.read, t.write, t.delete] { th scope="col" { (name) } } } }
                    tbody {
                        (row(html! { (t.every_resource) " (" code { "*" } ")" }, "*"))
                        @for (resource, _) in rows() { (row(row_name(t, &resource), resource.as_str())) }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pages::texts::EN;

    #[test]
    fn what_is_typed_is_what_is_held() {
        let typed = |ticked: &[&str], more: &str| Typed {
            name: String::new(),
            ticked: ticked.iter().map(|&text| text.to_owned()).collect(),
            more: more.to_owned(),
        };
        let texts =
            |typed: &Typed| typed.grants(&EN.roles).map(|all| all.iter().map(ToString::to_string).collect::<Vec<_>>());
        let all = texts(&typed(&["pods:read"], " pods:*\r\n\r\npods:read\n")).unwrap();
        assert_eq!(all, ["pods:*", "pods:read"]);
        for more in ["pods", "Pods:read", "pods:read deployments:read"] {
            assert!(texts(&typed(&[], more)).unwrap_err().more.is_some(), "{more}");
        }
        assert!(boxes(&EN.roles).iter().all(|text| text.parse::<Pattern>().is_ok()));
    }
}
