//! What was seen from outside in one run: by clients, by whoever took rights away, by the cluster, and in the database when all
//! was over. Times are of the test's own monotonic clock, which nobody steps.
//!
//! Nothing is judged here.

use crate::marks::Marks;
use kv_tests::{Carried, Direction};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Instant,
};

/// What a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum What {
    /// An object of the cluster.
    Get,
    /// A change of an object of the cluster.
    Patch,
    /// A list of the server's own.
    List,
    /// An answer of the cluster that goes on.
    Stream,
}

/// A request with a key, and what became of it.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    /// Its number, which is in its path.
    pub(crate) serial: u64,
    pub(crate) key: usize,
    pub(crate) server: usize,
    pub(crate) what: What,
    /// Before its first byte was written.
    pub(crate) began: Instant,
    /// When its answer, or the connection, was over for the client.
    pub(crate) ended: Instant,
    /// The status; 0 where no head has come.
    pub(crate) status: u16,
    /// Whether the whole answer has come.
    pub(crate) whole: bool,
    pub(crate) request_id: String,
    /// All that was received; of a unary answer only how much.
    pub(crate) received: u64,
    pub(crate) stream: Vec<u8>,
    /// Its connection, where it went over a link.
    pub(crate) carried: Option<Arc<Carried>>,
}

impl Asked {
    /// Whether the server took the credential for good.
    pub(crate) fn accepted(&self) -> bool {
        !matches!(self.status, 0 | 401 | 429 | 503)
    }

    /// Whether it succeeded.
    pub(crate) fn succeeded(&self) -> bool {
        (200..300).contains(&self.status) && self.whole
    }
}

/// A time in which a key was worth nothing.
#[derive(Debug, Clone)]
pub(crate) struct Spell {
    /// Before the call that began it was made for the first time.
    pub(crate) from: Instant,
    /// When that call's answer had arrived, and how much had been written until then.
    pub(crate) dead: Option<(Instant, Arc<Marks>)>,
    /// Before the call that ended it was made.
    pub(crate) back: Option<Instant>,
    /// When that call's answer had arrived.
    pub(crate) live: Option<Instant>,
}

/// A key, or a session.
#[derive(Debug, Clone)]
pub(crate) struct Story {
    pub(crate) id: String,
    /// What is sent as `Authorization`.
    pub(crate) shown: String,
    /// Whether it is a person's session, whose successful reads leave no entry.
    pub(crate) is_session: bool,
    pub(crate) spells: Vec<Spell>,
}

impl Story {
    pub(crate) fn new(id: String, shown: String, is_session: bool) -> Self {
        Self { id, shown, is_session, spells: Vec::new() }
    }
}

/// A request as the cluster has seen it.
#[derive(Debug, Clone)]
pub(crate) struct Effect {
    pub(crate) serial: Option<u64>,
    /// The entry it names.
    pub(crate) entry: String,
    pub(crate) line: String,
    pub(crate) at: Instant,
    /// Its connection over the server's link to the cluster, and how much has been written to it in the end.
    pub(crate) carried: Option<(Arc<Carried>, u64)>,
}

/// An entry of the audit log.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) request_id: String,
    pub(crate) action: String,
    pub(crate) status: Option<u16>,
    pub(crate) outcome: String,
    /// How many outcomes were written for it.
    pub(crate) outcomes: usize,
    /// Its time and details, for the reader.
    #[expect(dead_code, reason = "printed with the entry")]
    pub(crate) detail: String,
}

/// Everything.
#[derive(Debug, Clone, Default)]
pub(crate) struct History {
    pub(crate) keys: Vec<Story>,
    pub(crate) asked: Vec<Asked>,
    pub(crate) effects: Vec<Effect>,
    pub(crate) entries: Vec<Entry>,
    /// Ids of keys that the database has as revoked, and of sessions that it has as ended.
    pub(crate) revoked: Vec<String>,
    /// A server's process stood still from one time to another.
    pub(crate) pauses: Vec<(usize, Instant, Instant)>,
    /// What happened beside, for the reader.
    pub(crate) events: Vec<(Instant, String)>,
}

impl History {
    /// The requests by their numbers.
    pub(crate) fn by_serial(&self) -> HashMap<u64, &Asked> {
        self.asked.iter().map(|one| (one.serial, one)).collect()
    }

    /// Whether nothing need be on record of a request: a person has read.
    pub(crate) fn leaves_no_entry(&self, one: &Asked) -> bool {
        self.keys[one.key].is_session && one.what != What::Patch && !matches!(one.status, 401 | 403)
    }

    /// All that is known of a key, in the order of time.
    pub(crate) fn of_key(&self, key: usize, start: Instant) -> String {
        let mut lines: Vec<(Instant, String)> = self.events.clone();
        for one in self.asked.iter().filter(|one| one.key == key) {
            let given = one.carried.as_ref().map(|carried| carried.given(Direction::ToClient));
            let (end, whole) = (one.ended.saturating_duration_since(start), if one.whole { "" } else { ", cut" });
            lines.push((
                one.began,
                format!(
                    "request {} ({:?}) to server {}: {}{whole} after {} bytes of {given:?} at {end:?}, {}",
                    one.serial, one.what, one.server, one.status, one.received, one.request_id
                ),
            ));
            for effect in self.effects.iter().filter(|effect| effect.serial == Some(one.serial)) {
                lines.push((effect.at, format!("request {} is at the cluster", one.serial)));
            }
        }
        for spell in &self.keys[key].spells {
            lines.push((spell.from, "the key is being taken away".to_owned()));
            lines.extend(spell.dead.as_ref().map(|(at, _)| (*at, "the key is taken away".to_owned())));
            lines.extend(spell.back.map(|at| (at, "the key is being given back".to_owned())));
            lines.extend(spell.live.map(|at| (at, "the key is given back".to_owned())));
        }
        lines.sort_by_key(|(at, _)| *at);
        let told = lines.into_iter().map(|(at, text)| format!("{:>14?} {text}\n", at.saturating_duration_since(start)));
        format!("key {key} ({})\n{}", self.keys[key].id, told.collect::<String>())
    }
}

/// A history in the making.
#[derive(Debug, Clone, Default)]
pub(crate) struct Records(Arc<Mutex<History>>);

impl Records {
    pub(crate) fn with<T>(&self, work: impl FnOnce(&mut History) -> T) -> T {
        work(&mut self.0.lock().unwrap())
    }

    pub(crate) fn tell(&self, text: String) {
        self.with(|history| history.events.push((Instant::now(), text)));
    }
}
