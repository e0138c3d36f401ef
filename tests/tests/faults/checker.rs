//! Reads a history and looks for a breach of what is promised: S1–S5, A1–A3 and V1. Only the order counts: what was begun,
//! written or sent after the answer to the call that took the key away had arrived.
//!
//! Nothing here knows how the servers work.

use crate::history::{Asked, Entry, History, Spell, What};
use std::{
    collections::{HashMap, HashSet},
    time::Instant,
};

/// What a cluster's half of a connection may still be told when nothing is asked of it: TLS says goodbye.
const GOODBYE: u64 = 100;
/// What a played stream says with every piece.
pub(crate) const PIECE: &[u8] = b"\"ADDED\"";

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Promise {
    S1,
    S2,
    S3,
    S4,
    S5,
    A1,
    A2,
    A3,
    V1,
}

/// A promise that was not kept.
#[derive(Debug, Clone)]
pub(crate) struct Breach {
    pub(crate) promise: Promise,
    pub(crate) key: Option<usize>,
    pub(crate) text: String,
}

/// Everything that is wrong with a history, and what is explained by a process that stopped between its check and its write.
pub(crate) fn check(history: &History) -> (Vec<Breach>, Vec<String>) {
    let mut checker = Checker { history, found: Vec::new(), exempt: HashMap::new() };
    checker.admission();
    checker.effects();
    checker.answers();
    checker.streams();
    checker.durability();
    checker.audit();
    checker.validity();
    (checker.found, checker.exempt.into_values().flatten().collect())
}

struct Checker<'a> {
    history: &'a History,
    found: Vec<Breach>,
    /// Writes of a pause that are beyond any scheme: what stood between its check and its write, one a thread.
    exempt: HashMap<usize, Vec<String>>,
}

/// Threads of a server that may each have stood there.
const THREADS: usize = 2;

impl<'a> Checker<'a> {
    fn report(&mut self, promise: Promise, key: Option<usize>, text: String) {
        self.found.push(Breach { promise, key, text });
    }

    fn spells(&self, asked: &Asked) -> &'a [Spell] {
        &self.history.keys[asked.key].spells
    }

    /// Whether this write is one of the few that a pause explains: its server stood still when the key died.
    fn stood(&mut self, asked: &Asked, dead: Instant, text: &str) -> bool {
        let mut pauses = self.history.pauses.iter().enumerate();
        let Some((pause, _)) =
            pauses.find(|(_, (server, from, to))| *server == asked.server && *from < dead && dead < *to)
        else {
            return false;
        };
        let explained = self.exempt.entry(pause).or_default();
        let is_one = explained.len() < THREADS;
        if is_one {
            explained.push(text.to_owned());
        }
        is_one
    }

    fn admission(&mut self) {
        for one in &self.history.asked {
            for spell in self.spells(one) {
                let Some((dead, _)) = spell.dead else { continue };
                let meanwhile = one.began > dead && spell.back.is_none_or(|back| one.ended < back);
                if meanwhile && one.accepted() {
                    let after = one.began - dead;
                    let text = format!("request {} began {after:?} after the key was dead: {}", one.serial, one.status);
                    self.report(Promise::S1, Some(one.key), text);
                }
            }
        }
    }

    fn effects(&mut self) {
        let by_serial = self.history.by_serial();
        for effect in &self.history.effects {
            let Some(&one) = effect.serial.and_then(|serial| by_serial.get(&serial)) else { continue };
            for spell in self.spells(one) {
                let Some((dead, marks)) = &spell.dead else { continue };
                if effect.at <= *dead || spell.back.is_some_and(|back| effect.at >= back) {
                    continue;
                }
                let Some((carried, in_the_end)) = &effect.carried else { continue };
                let written = marks.of(carried);
                if in_the_end.saturating_sub(written) > GOODBYE {
                    let text = format!(
                        "request {} was sent to the cluster after the key was dead: {written} of {in_the_end} bytes before",
                        one.serial
                    );
                    if !self.stood(one, *dead, &text) {
                        self.report(Promise::S2, Some(one.key), text);
                    }
                }
            }
        }
    }

    fn answers(&mut self) {
        for one in self.history.asked.iter().filter(|one| one.what != What::Stream && one.succeeded()) {
            for spell in self.spells(one) {
                let Some((dead, marks)) = &spell.dead else { continue };
                let running = one.began <= *dead && one.ended > *dead;
                if !running || spell.back.is_some_and(|back| one.ended >= back) {
                    continue;
                }
                let Some(carried) = &one.carried else { continue };
                let written = marks.of(carried);
                if one.received > written {
                    let text = format!(
                        "request {} was answered {} after the key was dead: {written} of {} bytes before",
                        one.serial, one.status, one.received
                    );
                    if !self.stood(one, *dead, &text) {
                        self.report(Promise::S3, Some(one.key), text);
                    }
                }
            }
        }
    }

    fn streams(&mut self) {
        for one in self.history.asked.iter().filter(|one| one.what == What::Stream) {
            let Some(carried) = &one.carried else { continue };
            for spell in self.spells(one) {
                let Some((dead, marks)) = &spell.dead else { continue };
                if one.began > *dead {
                    continue;
                }
                let written = usize::try_from(marks.of(carried)).unwrap_or(usize::MAX);
                let rest = one.stream.get(written..).unwrap_or_default();
                let pieces = rest.windows(PIECE.len()).filter(|piece| *piece == PIECE).count();
                // Each piece is a write, and what a stopped thread had in hand is one.
                if pieces > 0 {
                    let text = format!("stream {} has flowed on after the key was dead: {pieces} pieces", one.serial);
                    if pieces > 1 || !self.stood(one, *dead, &text) {
                        self.report(Promise::S4, Some(one.key), text);
                    }
                }
            }
        }
    }

    fn durability(&mut self) {
        let revoked: HashSet<&str> = self.history.revoked.iter().map(String::as_str).collect();
        for (number, key) in self.history.keys.iter().enumerate() {
            let for_good = key.spells.iter().any(|spell| spell.dead.is_some() && spell.back.is_none());
            if for_good && !revoked.contains(key.id.replace('-', "").as_str()) {
                self.report(Promise::S5, Some(number), "the database has the key as live".to_owned());
            }
        }
    }

    fn audit(&mut self) {
        let mut entries: HashMap<&str, Vec<&Entry>> = HashMap::new();
        for entry in &self.history.entries {
            entries.entry(&entry.request_id).or_default().push(entry);
        }
        let mut by_request: HashMap<&str, &Asked> = HashMap::new();
        for one in self.history.asked.iter().filter(|one| !one.request_id.is_empty() && one.status != 503) {
            by_request.insert(&one.request_id, one);
            if !entries.contains_key(one.request_id.as_str()) && !self.history.leaves_no_entry(one) {
                let text = format!("request {} was answered {} and is not on record", one.serial, one.status);
                self.report(Promise::A1, Some(one.key), text);
            }
        }
        let mut reached: HashSet<&str> = HashSet::new();
        let by_serial = self.history.by_serial();
        for effect in &self.history.effects {
            reached.insert(&effect.entry);
            let asked = effect.serial.and_then(|serial| by_serial.get(&serial));
            if !entries.contains_key(effect.entry.as_str())
                && !asked.is_some_and(|one| self.history.leaves_no_entry(one))
            {
                self.report(Promise::A1, None, format!("{} is at the cluster and not on record", effect.line));
            }
        }
        for (id, entries) in entries {
            let key = by_request.get(id).map(|one| one.key);
            if entries.len() > 1 || entries.iter().any(|entry| entry.outcomes > 1) {
                self.report(Promise::A2, key, format!("{id} has two entries or outcomes: {entries:?}"));
            }
            let entry = entries[0];
            let (succeeded, asked) = (entry.outcome == "succeeded", by_request.get(id));
            if succeeded && entry.action.starts_with("kubernetes.") && !reached.contains(id) {
                self.report(
                    Promise::A3,
                    key,
                    format!("{id} is said to have succeeded, and the cluster has not seen it"),
                );
            }
            // What the client was told is what is on record, or nothing is. A 401 may stand for an answer that was cut after
            // the cluster had done what is on record.
            let told = asked.filter(|one| one.what != What::Stream && one.whole && one.status != 401);
            if let (Some(one), Some(status)) = (told, entry.status)
                && (one.status != status && entry.outcome != "unknown" || succeeded && !one.succeeded())
            {
                let text = format!("request {} was answered {}, and the entry says {entry:?}", one.serial, one.status);
                self.report(Promise::A3, Some(one.key), text);
            }
        }
    }

    fn validity(&mut self) {
        for one in self.history.asked.iter().filter(|one| matches!(one.status, 401 | 403)) {
            let could_be = |spell: &Spell| spell.from < one.ended && spell.live.is_none_or(|live| one.began < live);
            if !self.spells(one).iter().any(could_be) {
                let text = format!("request {} had a live key and was answered {}", one.serial, one.status);
                self.report(Promise::V1, Some(one.key), text);
            }
        }
    }
}
