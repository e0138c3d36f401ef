//! Settings in sections of their own, and how their values are read.
//!
//! No value is looked for here.

use super::listed;
use crate::{cluster::AddressPolicy, limit::RateLimit};
use kv_authz::SecondFactorFor;
use serde::{Deserialize, Deserializer};
use std::collections::HashMap;
use time::Duration;

/// Settings of API keys.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ApiKeys {
    /// Whether a key may administer as far as its owner may.
    pub allow_administration: bool,
    /// The most live keys a user may have.
    pub max_per_user: u32,
    /// From how many days before its expiry a key counts as expiring.
    pub expiring_days: u16,
}

impl Default for ApiKeys {
    fn default() -> Self {
        Self { allow_administration: false, max_per_user: 100, expiring_days: 7 }
    }
}

impl ApiKeys {
    /// How long before its expiry a key counts as expiring.
    #[must_use]
    pub fn expiring_window(&self) -> Duration {
        Duration::days(i64::from(self.expiring_days))
    }
}

/// Rate limits of roles and users. A user's own comes before their role's, and that before everybody's.
#[derive(Debug, Clone, Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub struct RateLimits {
    /// By the role's name.
    #[serde(deserialize_with = "each_parsed")]
    pub roles: HashMap<String, RateLimit>,
    /// By the user's name.
    #[serde(deserialize_with = "each_parsed")]
    pub users: HashMap<String, RateLimit>,
}

/// Who has which rate limit.
#[derive(Debug, Clone, Default)]
pub struct Limits {
    /// Whoever has no other.
    pub everybody: RateLimit,
    /// The exceptions.
    pub others: RateLimits,
}

impl Limits {
    /// A user's limit.
    #[must_use]
    pub fn of(&self, user: &str, role: &str) -> RateLimit {
        let others = &self.others;
        others.users.get(user).or_else(|| others.roles.get(role)).copied().unwrap_or(self.everybody)
    }
}

/// Settings of second factors.
#[derive(Debug, Clone, Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub struct SecondFactor {
    /// Who must have one: `nobody`, `everybody`, or roles separated by commas.
    #[serde(deserialize_with = "required_for")]
    pub required_for: SecondFactorFor,
}

/// Settings of the audit log.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Audit {
    /// How many days entries are kept; 0 for ever.
    pub retention_days: u16,
}

impl Default for Audit {
    fn default() -> Self {
        Self { retention_days: 90 }
    }
}

/// Settings of the way to clusters.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Clusters {
    /// Loopback and link-local addresses a cluster may be at all the same.
    #[serde(deserialize_with = "addresses")]
    pub allowed_addresses: AddressPolicy,
    /// How long a cluster may take to answer, in seconds; and between two pieces of an answer.
    pub timeout_seconds: u16,
    /// How long a stream may be silent, in seconds: a watch, a followed log, a tunnel into a pod.
    pub stream_idle_seconds: u32,
    /// How many streams a user may have at once.
    pub max_streams_per_user: u32,
    /// How long an answer may be, in MiB; streams go on.
    pub max_answer_mebibytes: u32,
}

impl Default for Clusters {
    fn default() -> Self {
        Self {
            allowed_addresses: AddressPolicy::default(),
            timeout_seconds: 30,
            // As long as a kubelet lets a connection be idle.
            stream_idle_seconds: 4 * 60 * 60,
            max_streams_per_user: 200,
            max_answer_mebibytes: 1024,
        }
    }
}

fn each_parsed<'de, D: Deserializer<'de>>(deserializer: D) -> Result<HashMap<String, RateLimit>, D::Error> {
    let texts = HashMap::<String, String>::deserialize(deserializer)?;
    let parsed = texts.into_iter().map(|(name, text)| Ok((name, text.parse()?)));
    parsed.collect::<Result<_, crate::limit::MalformedRateLimit>>().map_err(serde::de::Error::custom)
}

fn required_for<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SecondFactorFor, D::Error> {
    let text = String::deserialize(deserializer)?;
    let roles = text.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned);
    Ok(match text.trim() {
        "" | "nobody" => SecondFactorFor::Nobody,
        "everybody" => SecondFactorFor::Everybody,
        _ => SecondFactorFor::Roles(roles.collect()),
    })
}

fn addresses<'de, D: Deserializer<'de>>(deserializer: D) -> Result<AddressPolicy, D::Error> {
    let text = String::deserialize(deserializer)?;
    AddressPolicy::new(listed(&text)).map_err(serde::de::Error::custom)
}
