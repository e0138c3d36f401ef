//! Admission: the last word on every request, and the hold on those that have it.
//!
//! `batcher` asks the database, `in_flight` keeps what was admitted revocable, `lease` says for how long that may be believed,
//! `outcomes` writes down how it ended, and `refusals` and `together` count who was nobody. No rule is decided here.

mod batcher;
mod in_flight;
mod lease;
mod outcomes;
mod refusals;
mod together;

pub use batcher::{Batcher, Brought};
pub use in_flight::{Guard, InFlight, Interruption, Marked, Reaching};
pub use lease::{Cover, GONE_AFTER, Lease, RENEW_EVERY, Term};
pub use outcomes::Outcomes;
pub use refusals::Refusals;
