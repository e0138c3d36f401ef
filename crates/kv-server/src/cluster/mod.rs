//! The way to Kubernetes: from a checked request to a cluster's answer.
//!
//! A request goes through the rooms in this order, each giving a value that only it can make and the next one needs:
//!
//! 1. [`Discovery`] says whether the cluster serves a resource ([`ResourceName`] → [`Served`]).
//! 2. [`ObjectPath`] puts checked names together, and [`UpstreamQuery`] the allowed parameters.
//! 3. [`ObjectPath::target`] is what `kv_authz` decides on; what is authorised and what is sent are the same value.
//! 4. [`body::check`] sees that the body says the same as the path; for Secrets, [`mask::would_store_mask`] and, where the
//!    caller's are masked, [`mask::would_reveal`] see that no value is overwritten or carried off.
//! 5. [`Identity::for_request`] says whom the cluster shall see, where it is called by impersonation.
//! 6. [`Upstream::send`] sends the [`Call`]. Dropped before it is written, it is never written.
//! 7. [`mask::mask_answer`] hides values, [`union::merge`] makes one list of several, [`ClusterRefusal`] puts a refusal in
//!    our words.
//!
//! Never here: who may do what, HTTP of our own callers, a secret in a message, a header that a caller sent.

mod accept;
mod access;
mod address;
pub mod body;
mod call;
mod covered;
mod discovery;
#[cfg(test)]
mod fixtures;
mod identity;
mod json;
mod kubeconfig;
pub mod mask;
mod names;
mod native;
mod path;
pub mod protobuf;
mod query;
mod refusal;
pub mod tunnel;
pub mod union;
mod upgrade;
mod upstream;

pub use accept::{Accept, NotAcceptable};
pub use access::{AccessError, ClusterAccess};
pub use address::{AddressPolicy, InvalidNetwork, Networks, RefusedAddress};
pub use call::Call;
pub use discovery::{Discovery, Served, version};
pub use identity::{Identity, IdentityError};
pub use json::JsonError;
pub use kubeconfig::KubeconfigSource;
pub use names::{
    ClusterName, Group, NameError, Namespace, ObjectName, Plural, ProxySegment, ResourceName, Version, What,
};
pub use native::{NativePath, NativePathError};
pub use path::{Document, Names, ObjectPath, PathError, UpstreamPath};
pub use query::{QueryError, UpstreamQuery, asks_to_watch};
pub use refusal::ClusterRefusal;
pub use upgrade::{Switched, Upgrade};
pub use upstream::{Answer, CONNECT_TIMEOUT, CallLimits, Opened, Upstream, UpstreamError};
