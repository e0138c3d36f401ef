//! The report on a request that nobody is named for, because its credential was refused: on disk before its answer.
//!
//! Nothing is refused here.

use crate::{
    admission::{Replies, Subject},
    app::App,
    failure::Failure,
};
use kv_authz::{
    Actor, EntryId,
    audit::{Detail, Entry, Event, Fact, Finish, Origin, Target},
};
use kv_store::admission::Request;
use std::{num::NonZeroU16, sync::Arc};

/// For how many turns, of a millisecond each, refusals are gathered at most of those who show no key, and told.
const NOBODY: NonZeroU16 = NonZeroU16::new(10).unwrap();
/// The same of suspects, of whom many may share a flood: each address has an entry of its own. They are told to come again in a
/// second at the soonest, and may spend it here.
const SUSPECTS: NonZeroU16 = NonZeroU16::new(1_000).unwrap();

/// Puts on record that a request without a usable credential was refused. Of those that have `shown` nothing that could be
/// one, or that were not looked up, many may be one entry.
pub(crate) async fn report(
    (app, way): (&Arc<App>, Option<Replies>),
    failure: Failure,
    id: EntryId,
    origin: Origin,
    shown: bool,
) -> Failure {
    if matches!(failure, Failure::Unavailable { .. } | Failure::Internal { .. }) {
        return failure;
    }
    let (address, code) = (origin.ip, failure.code());
    let turns = if matches!(failure, Failure::Throttled { .. }) { SUSPECTS } else { NOBODY };
    let request = || {
        let entry = Entry {
            id,
            actor: Actor::anonymous(),
            event: Event::AuthRefuse,
            target: Target::default(),
            origin,
            detail: Detail::none(),
        };
        let finish = Finish::with_status(failure.status()).because(Detail::none().with(Fact::Code, code));
        Request { entry, basis: None, finish: Some(finish), count: 1, audited: true }
    };
    let batcher = match app.batcher() {
        Ok(batcher) => batcher,
        Err(stopped) => return stopped,
    };
    let recorded = match shown {
        true if matches!(failure, Failure::Unauthorized { .. }) => batcher.admit(request(), way).await.map(drop),
        _ => {
            give_way();
            let recorded = app.refusals.report((batcher, way), Subject { address, code, turns }, request).await;
            give_way();
            recorded
        }
    };
    recorded.err().map_or(failure, Into::into)
}

/// Lets other threads have this core, those of admission and of a database beside it, which would wait for the end of this one's
/// time slice otherwise, each time that somebody else's request goes from one to the next. A flood is not in a hurry.
fn give_way() {
    std::thread::yield_now();
}
