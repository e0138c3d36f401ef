//! How many streams each user has open, so that one user's do not take everybody's memory.
//!
//! A watch, a followed log and a tunnel are streams; an answer that ends by itself is none.

use kv_authz::UserId;
use parking_lot::Mutex;
use std::{collections::HashMap, sync::Arc};

/// The streams that are open.
#[derive(Debug, Default, Clone)]
pub struct Streams(Arc<Mutex<HashMap<UserId, u32>>>);

/// A stream's place among its user's. Given back when it is dropped.
#[derive(Debug)]
pub struct Stream {
    user: UserId,
    streams: Streams,
}

impl Streams {
    /// A place for one more, unless the user has `most` already.
    #[must_use]
    pub fn open(&self, user: UserId, most: u32) -> Option<Stream> {
        let mut open = self.0.lock();
        let own = open.entry(user).or_insert(0);
        if *own >= most {
            return None;
        }
        *own += 1;
        Some(Stream { user, streams: self.clone() })
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.lock().values().copied().map(u64::from).sum()
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let mut open = self.streams.0.lock();
        if let Some(own) = open.get_mut(&self.user) {
            *own -= 1;
            if *own == 0 {
                open.remove(&self.user);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_user_has_so_many() {
        let (streams, ann, bob) = (Streams::default(), UserId::from_parts(1, [1; 10]), UserId::from_parts(1, [2; 10]));
        let first = streams.open(ann, 1).unwrap();
        assert!(streams.open(ann, 1).is_none() && streams.open(bob, 1).is_some());
        drop(first);
        assert!(streams.open(ann, 1).is_some());
        assert_eq!(streams.count(), 0);
    }
}
