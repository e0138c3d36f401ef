//! Admission: the last word on every request, and the hold on those that have it.
//!
//! `batcher` asks the database, `in_flight` keeps what was admitted revocable by its `marks`, `lease` says for how long that
//! may be believed, `readers` who reads on by it, `replies` tells the requests, `outcomes` writes down how it ended, and
//! `refusals` and `together` count who was nobody. No rule is decided here.

mod batcher;
mod guard;
mod in_flight;
mod lease;
mod marks;
mod outcomes;
mod readers;
mod refusals;
mod replies;
mod together;

pub use batcher::{Batcher, Brought};
pub use guard::Guard;
pub use in_flight::{InFlight, Reaching};
pub use lease::{Cover, GONE_AFTER, Lease, RENEW_EVERY, Term};
pub use marks::{Interruption, Marked};
pub use outcomes::Outcomes;
pub use readers::Readers;
pub use refusals::{Refusals, Subject};
pub use replies::Replies;
