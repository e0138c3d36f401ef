//! How much every connection had been given by the servers at one instant: what a server has written until then is no
//! breach, whenever it arrives.

use kv_tests::{Carried, Direction};
use std::{collections::HashMap, sync::Arc, time::Instant};

/// The marks of an instant.
#[derive(Debug, Default)]
pub(crate) struct Marks {
    at: Option<Instant>,
    given: HashMap<usize, u64>,
}

fn name(carried: &Arc<Carried>) -> usize {
    Arc::as_ptr(carried).addr()
}

impl Marks {
    /// Takes them now, of connections that go to servers, and of connections that come from servers.
    pub(crate) fn take(to_servers: &[Arc<Carried>], from_servers: &[Arc<Carried>]) -> Self {
        let open = |all: &[Arc<Carried>], direction| {
            let open = all.iter().filter(|one| one.ended().is_none());
            open.map(|one| (name(one), one.given(direction))).collect::<Vec<_>>()
        };
        let mut given: HashMap<usize, u64> = open(to_servers, Direction::ToClient).into_iter().collect();
        given.extend(open(from_servers, Direction::ToServer));
        Self { at: Some(Instant::now()), given }
    }

    /// How much a connection had been given by its server. What was over by then had been given everything.
    pub(crate) fn of(&self, carried: &Arc<Carried>) -> u64 {
        let over = carried.ended().zip(self.at).is_some_and(|(ended, at)| ended <= at);
        self.given.get(&name(carried)).copied().unwrap_or(if over { u64::MAX } else { 0 })
    }
}
