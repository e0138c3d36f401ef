//! Last uses of keys: noted in memory, flushed every few seconds. Only for display: a crash may lose the latest.

use kv_authz::KeyId;
use parking_lot::Mutex;
use std::{collections::HashMap, net::IpAddr};
use time::OffsetDateTime;

/// When and from where keys were last used, since the last flush.
#[derive(Debug, Default)]
pub struct Uses(Mutex<HashMap<KeyId, (OffsetDateTime, Option<IpAddr>)>>);

impl Uses {
    /// Notes a use.
    pub fn note(&self, key: KeyId, at: OffsetDateTime, ip: Option<IpAddr>) {
        self.0.lock().insert(key, (at, ip));
    }

    /// Takes what was noted.
    #[must_use]
    pub fn take(&self) -> Vec<(KeyId, OffsetDateTime, Option<String>)> {
        let uses = std::mem::take(&mut *self.0.lock());
        uses.into_iter().map(|(key, (at, ip))| (key, at, ip.map(|ip| ip.to_string()))).collect()
    }
}
