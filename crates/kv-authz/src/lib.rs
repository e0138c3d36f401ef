#![doc = include_str!("../README.md")]
//!
//! Rules only: nothing here reads a clock, a database, a file or the network. Time is an argument.

pub mod action;
pub mod assignment;
pub mod audit;
pub mod authorize;
pub mod credential;
pub mod grant;
pub mod ids;
pub mod kubernetes;
pub mod permission;
pub mod principal;
pub mod role;
pub mod subresource;
pub mod throttle;

pub use action::Action;
pub use assignment::{Assignment, Assignments, ClusterScope, NamespaceScope};
pub use authorize::{Denied, Permit, Policy, SecondFactorFor, authorize, may};
pub use credential::{KeyState, Unusable};
pub use ids::{ClusterId, EntryId, KeyId, RoleId, SessionId, UserId};
pub use permission::{Pattern, Permission, Resource, Verb};
pub use principal::{Actor, Owner, Principal, SecondFactor};
pub use role::Role;
pub use subresource::Subresource;
