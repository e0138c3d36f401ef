#![doc = include_str!("../README.md")]
//!
//! The only Diesel and the only SQL. Never sees a plaintext key, never decides who may do what, never answers a request.

// Referred to by name so that their bundled C libraries are linked.
use libsqlite3_sys as _;
use openssl_sys as _;
use pq_sys as _;

pub mod admission;
mod audit;
mod audit_log;
mod authority;
mod backend;
mod basis;
mod clusters;
mod error;
mod keys;
mod lock;
mod migrate;
mod page;
mod partitions;
mod row;
mod schema;
mod sessions;
mod store;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod transaction;
mod users;

pub use audit::Occasion;
pub use audit_log::{AuditFilter, AuditRecord};
pub use authority::{KeyAuthority, SessionAuthority};
pub use backend::DatabaseUrl;
pub use basis::{ActError, Basis, Credential, Never};
pub use clusters::{ClusterList, ClusterRecord, ClusterRefused, NewCluster};
pub use error::StoreError;
pub use keys::{KeyFilter, KeyRecord, KeyRefused, NewKey, NoSuchKey};
pub use page::{Page, PageRequest};
pub use sessions::NewSession;
pub use store::{Opener, Store};
pub use users::{NewUser, SignIn, UserRecord, UserRefused};
