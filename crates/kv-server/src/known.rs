//! Known: what was last read of something that all requests need, until it is read again or forgotten.
//!
//! Never here: what a primary said that was replaced while it was asked. It is given to whoever asked, and not kept.

use parking_lot::RwLock;
use std::sync::Arc;

/// What was last read.
#[derive(Debug)]
pub struct Known<T>(RwLock<Option<Arc<T>>>);

impl<T> Default for Known<T> {
    fn default() -> Self {
        Self(RwLock::new(None))
    }
}

impl<T> Known<T> {
    /// What is known.
    #[must_use]
    pub fn get(&self) -> Option<Arc<T>> {
        self.0.read().clone()
    }

    /// Forgets it.
    pub fn forget(&self) {
        *self.0.write() = None;
    }

    /// Reads it again; `timeline` tells which primary is the newest.
    ///
    /// # Errors
    /// The reading's own; then what was known stays known.
    pub async fn read<E>(
        &self,
        timeline: impl Fn() -> i64,
        read: impl Future<Output = Result<T, E>>,
    ) -> Result<Arc<T>, E> {
        let before = timeline();
        let found = Arc::new(read.await?);
        let mut known = self.0.write();
        // Looked at under the lock: who forgets after another primary was seen comes before this look, or after the keeping.
        if timeline() == before {
            *known = Some(found.clone());
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{cell::Cell, convert::Infallible};

    #[tokio::test]
    async fn what_a_replaced_primary_said_is_not_kept() {
        let (known, timeline) = (Known::default(), Cell::new(1));
        let good = async { Ok::<_, Infallible>("old") };
        assert_eq!(*known.read(|| timeline.get(), good).await.unwrap(), "old");
        assert_eq!(known.get().as_deref(), Some(&"old"));
        let replaced = async {
            // As the keeper of the lease does when it sees another primary.
            timeline.set(2);
            known.forget();
            Ok::<_, Infallible>("late")
        };
        assert_eq!(*known.read(|| timeline.get(), replaced).await.unwrap(), "late", "whoever asked is told");
        assert_eq!(known.get(), None);
    }
}
