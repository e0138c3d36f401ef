#![doc = include_str!("../README.md")]
//!
//! The only Diesel and the only SQL. Never sees a plaintext key, never decides who may do what, never answers a request.

// Referred to by name so that their bundled C libraries are linked.
use libsqlite3_sys as _;
use openssl_sys as _;
use pq_sys as _;

pub mod admission;
mod assignments;
mod audit;
mod audit_log;
mod authority;
mod backend;
mod backup;
mod basis;
mod challenges;
mod clusters;
mod cuts;
mod durability;
mod error;
mod fixed;
mod key_uses;
mod keys;
mod known;
mod lock;
mod migrate;
mod page;
mod partitions;
pub mod points;
mod print;
mod pulse;
mod rate_buckets;
mod replicas;
mod retention;
mod revisions;
mod roles;
mod row;
mod schema;
mod seals;
mod second_factors;
mod session_list;
mod sessions;
mod store;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod throttles;
mod timeline;
mod transaction;
mod user_changes;
mod user_list;
mod users;
mod verify;

pub use audit::Occasion;
pub use audit_log::{AuditFilter, AuditRecord};
pub use authority::{KeyAuthority, SessionAuthority};
pub use backend::DatabaseUrl;
pub use backup::Restored;
pub use basis::{ActError, Basis, Credential, Never};
pub use challenges::Challenge;
pub use clusters::{ClusterList, ClusterRecord, ClusterRefused, NewCluster};
pub use cuts::{Cut, NumberedCut};
pub use durability::{Durability, Weakness};
pub use error::StoreError;
pub use keys::{KeyCounts, KeyFilter, KeyRecord, KeyRefused, NewKey, NoSuchKey};
pub use page::{Page, PageRequest};
pub use rate_buckets::{Taken, Terms};
pub use replicas::{LeaseConnection, LeaseNews, LeaseRenewal, Replica};
pub use retention::Purged;
pub use revisions::Revisions;
pub use roles::{RoleAsRead, RoleChange, RoleRecord, RoleRefused};
pub use seals::SealKey;
pub use second_factors::{FactorRecord, FactorRefused, Proof};
pub use session_list::SessionRecord;
pub use sessions::{NewSession, NoSuchSession, Renewal, Renewed};
pub use store::{Opener, Store};
pub use throttles::TooSoon;
pub use user_changes::{UserChange, UserChanged};
pub use users::{NewUser, SignIn, StoredRole, UserAsRead, UserRecord, UserRefused};
pub use verify::Verified;
