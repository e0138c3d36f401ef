//! Pages by keyset: each begun after the last item of the one before, which its id stands for; the newest first, where the
//! list has no other order. Never by offset.

use crate::error::Result;
use kv_authz::ids::MalformedId;
use uuid::Uuid;

/// Which page of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageRequest {
    limit: u16,
    after: Option<Uuid>,
}

/// One page.
#[derive(Debug, Clone)]
pub struct Page<T> {
    /// Its items.
    pub items: Vec<T>,
    /// Where the next one begins; none on the last.
    pub next: Option<Uuid>,
}

impl PageRequest {
    /// Items a page where the caller does not say.
    pub const DEFAULT_LIMIT: u16 = 50;
    /// The most items a page has.
    pub const MAX_LIMIT: u16 = 200;

    const BULK: u16 = 1_000;

    /// A page of up to `limit` items (1 to [`Self::MAX_LIMIT`], others are brought into it) after the given id.
    #[must_use]
    pub fn new(limit: u16, after: Option<Uuid>) -> Self {
        Self { limit: limit.clamp(1, Self::MAX_LIMIT), after }
    }

    /// A large page, for what reads everything page by page.
    #[must_use]
    pub fn bulk(after: Option<Uuid>) -> Self {
        Self { limit: Self::BULK, after }
    }

    /// The page after a cursor that [`Page::next`] gave.
    ///
    /// # Errors
    /// [`MalformedId`] for any other text.
    pub fn after(limit: u16, cursor: Option<&str>) -> Result<Self, MalformedId> {
        let after = cursor.map(|text| Uuid::try_parse(text).map_err(|_| MalformedId)).transpose()?;
        Ok(Self::new(limit, after))
    }

    /// The id that the page before ended with.
    pub(crate) fn last(&self) -> Option<Vec<u8>> {
        self.after.map(|id| id.as_bytes().to_vec())
    }

    /// Ids below this one are on the page.
    pub(crate) fn below(&self) -> Vec<u8> {
        self.after.unwrap_or(Uuid::max()).as_bytes().to_vec()
    }

    /// One more row than the page holds tells whether there is a next page.
    pub(crate) fn rows(&self) -> i64 {
        i64::from(self.limit) + 1
    }

    /// The page from its rows.
    pub(crate) fn page<T>(&self, mut items: Vec<T>, id: impl Fn(&T) -> Uuid) -> Page<T> {
        let more = items.len() > usize::from(self.limit);
        items.truncate(usize::from(self.limit));
        let next = items.last().map(id).filter(|_| more);
        Page { items, next }
    }
}

impl Default for PageRequest {
    fn default() -> Self {
        Self::new(Self::DEFAULT_LIMIT, None)
    }
}
