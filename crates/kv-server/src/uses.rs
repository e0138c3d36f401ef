//! Last uses of keys: noted in memory, flushed every few seconds. Only for display: a crash may lose the latest.

use kv_authz::KeyId;
use parking_lot::Mutex;
use std::{collections::HashMap, net::IpAddr};
use time::OffsetDateTime;

/// When and from where a key was used.
type Use = (OffsetDateTime, Option<IpAddr>);

#[derive(Debug, Default)]
struct Noted {
    /// Since the last flush that took all.
    latest: HashMap<KeyId, Use>,
    /// From before: what that flush has not come to yet.
    waiting: Vec<(KeyId, Use)>,
}

/// When and from where keys were last used, since the last flush.
#[derive(Debug, Default)]
pub struct Uses(Mutex<Noted>);

impl Uses {
    /// Notes a use.
    pub fn note(&self, key: KeyId, at: OffsetDateTime, ip: Option<IpAddr>) {
        self.0.lock().latest.insert(key, (at, ip));
    }

    /// Takes what was noted, at most so much, and what was noted first before the rest: where very many keys are in use,
    /// each is shown a few seconds later rather than at everybody's expense.
    #[must_use]
    pub fn take(&self, most: usize) -> Vec<(KeyId, OffsetDateTime, Option<String>)> {
        let mut noted = self.0.lock();
        if noted.waiting.is_empty() {
            noted.waiting = std::mem::take(&mut noted.latest).into_iter().collect();
        }
        let left = noted.waiting.len().saturating_sub(most);
        let uses = noted.waiting.split_off(left);
        drop(noted);
        uses.into_iter().map(|(key, (at, ip))| (key, at, ip.map(|ip| ip.to_string()))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_key_is_passed_over_for_others_that_are_used_all_the_time() {
        let uses = Uses::default();
        let keys: Vec<KeyId> = (0..10).map(|n| KeyId::from_parts(1, [n; 10])).collect();
        let mut seen = std::collections::HashSet::new();
        for _ in 0..4 {
            keys.iter().for_each(|&key| uses.note(key, OffsetDateTime::UNIX_EPOCH, None));
            let taken = uses.take(3);
            assert!(taken.len() <= 3);
            seen.extend(taken.into_iter().map(|(key, ..)| key));
        }
        assert_eq!(seen.len(), keys.len());
    }

    #[test]
    fn a_key_that_is_used_again_is_taken_with_its_last_use_in_the_end() {
        let uses = Uses::default();
        let (key, other) = (KeyId::from_parts(1, [1; 10]), KeyId::from_parts(1, [2; 10]));
        let at = |seconds| OffsetDateTime::UNIX_EPOCH + time::Duration::seconds(seconds);
        uses.note(key, at(1), None);
        uses.note(other, at(1), None);
        let mut taken = uses.take(1);
        uses.note(key, at(2), None);
        taken.extend(uses.take(usize::MAX));
        taken.extend(uses.take(usize::MAX));
        assert_eq!(taken.iter().filter(|(taken, ..)| *taken == key).map(|&(_, at, _)| at).max(), Some(at(2)));
        assert!(uses.take(usize::MAX).is_empty());
    }
}
