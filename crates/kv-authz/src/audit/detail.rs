//! Detail: the facts an entry may carry beyond its fields. A closed list, so that nothing slips in that must not.

use serde::Serialize;
use std::collections::BTreeMap;

/// A fact worth keeping.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Fact {
    /// Why a credential was refused.
    Reason,
    /// The stable code of the problem answered.
    Code,
    /// The atom that was missing.
    Missing,
    /// Who refused: `kubevision` or `cluster`.
    DeniedBy,
    /// The owner of the key acted on, where that is not the actor.
    Owner,
    /// The id of the object acted on.
    ObjectId,
    /// The object before.
    Before,
    /// The object after.
    After,
    /// A key did what would ask a person for a second factor.
    SecondFactor,
    /// How the client's request was read: method.
    Method,
    /// The route the request matched, as a template.
    Route,
    /// A field that was cut to its bound.
    Truncated,
    /// Why the outcome is not known.
    Unknown,
}

/// The facts of one entry. Values are bounded at 512 bytes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(transparent)]
pub struct Detail(BTreeMap<Fact, String>);

impl Detail {
    /// The longest value kept, in bytes.
    pub const MAX: usize = 512;

    /// No facts.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// These facts and one more; a fact given twice keeps the later value.
    #[must_use]
    pub fn with(mut self, fact: Fact, value: impl Into<String>) -> Self {
        self.add(fact, value);
        self
    }

    /// Adds a fact.
    pub fn add(&mut self, fact: Fact, value: impl Into<String>) {
        let mut value = value.into();
        value.truncate(super::clip(&value, Self::MAX).0.len());
        self.0.insert(fact, value);
    }

    /// The value of a fact.
    #[must_use]
    pub fn get(&self, fact: Fact) -> Option<&str> {
        self.0.get(&fact).map(String::as_str)
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// These and those; the others' values win.
    #[must_use]
    pub fn and(mut self, other: Detail) -> Self {
        self.0.extend(other.0);
        self
    }
}
