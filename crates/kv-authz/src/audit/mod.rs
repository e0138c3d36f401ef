//! Audit entries as values: begun, then finished, once. The closed list of events, outcomes and facts.
//!
//! Nothing here writes anything down, and no field takes a secret or a request body.

mod detail;
mod entry;
mod event;
mod text;

pub use detail::{Detail, Fact};
pub use entry::{Entry, Finish, Origin, Outcome, Target};
pub use event::Event;
pub use text::clip;
