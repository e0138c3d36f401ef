//! Configuration: a TOML file and `KUBEVISION_*` variables, the variables winning. The only reader of the environment.
//!
//! An unknown setting stops the start. Nothing here prints a value that may be secret.

mod sections;

pub use sections::{ApiKeys, Audit, Clusters, Limits, RateLimits, SecondFactor};

use crate::{broken::Broken, cluster::Networks, limit::RateLimit, origin::Origin, replicas::ReplicaSettings};
use kv_keys::Environment;
use kv_store::DatabaseUrl;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer};
use std::{
    collections::HashMap,
    net::SocketAddr,
    num::NonZeroU32,
    path::{Path, PathBuf},
};

/// Why the configuration was not accepted.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A setting is unknown, missing or malformed.
    #[error("the configuration is not accepted: {0}")]
    Setting(String),
    /// A file named by a setting cannot be read.
    #[error("{name} names a file that cannot be read: {source}")]
    File {
        /// The variable.
        name: String,
        /// Why.
        source: std::io::Error,
    },
}

/// Everything the operator settles.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where the API listens.
    #[serde(default = "default_listen")]
    pub listen: SocketAddr,
    /// The file of the certificate and its chain, in PEM.
    tls_cert: Option<PathBuf>,
    /// The file of the certificate's key, in PEM.
    tls_key: Option<PathBuf>,
    /// The file of the authorities to trust, in PEM, for clients that do not know who signed the certificate.
    pub tls_ca: Option<PathBuf>,
    /// Where clients reach the server; where a request was sent if not given.
    #[serde(default, deserialize_with = "some_parsed")]
    pub public_url: Option<Origin>,
    /// For how many seconds browsers that came by TLS are told to come by nothing else; 0 has them forget it.
    #[serde(default = "a_year")]
    pub hsts_seconds: u32,
    /// Where `/metrics` listens.
    #[serde(default = "default_metrics_listen")]
    pub metrics_listen: SocketAddr,
    /// The folder of the SQLite file and the generated keys.
    #[serde(default = "default_data_dir")]
    pub data_dir: PathBuf,
    /// The database; SQLite in the data folder if not given.
    database_url: Option<SecretString>,
    /// Whether a database is used that loses what it has committed.
    #[serde(default)]
    pub allow_data_loss: bool,
    /// The first administrator's password; made up and printed once if not given.
    pub admin_password: Option<SecretString>,
    /// `live` or `test`: the keys this server makes and accepts.
    #[serde(default = "live", deserialize_with = "environment")]
    pub environment: Environment,
    /// Each user's rate limit.
    #[serde(default, deserialize_with = "parsed")]
    pub rate_limit: RateLimit,
    /// How often an address may show credentials that are refused before those that are not known are no longer looked up.
    #[serde(default = "unknown_rate_limit", deserialize_with = "parsed")]
    pub unknown_rate_limit: RateLimit,
    /// Whether the contexts of `KUBECONFIG` are registered as clusters at start.
    #[serde(default)]
    pub register_contexts: bool,
    /// The operator's kubeconfig, from `KUBECONFIG`.
    #[serde(skip)]
    pub kubeconfig: Option<PathBuf>,
    /// The API server of the cluster that this runs in, from the variables that Kubernetes gives every pod.
    #[serde(skip)]
    pub in_cluster: Option<String>,
    /// What is logged, as a tracing filter.
    #[serde(default = "default_log")]
    pub log: String,
    /// Other rate limits than everybody's.
    #[serde(default)]
    pub rate_limits: RateLimits,
    /// Proxies whose forwarding header is believed.
    #[serde(default, deserialize_with = "networks")]
    pub trusted_proxies: Networks,
    /// API keys.
    #[serde(default)]
    pub api_keys: ApiKeys,
    /// Second factors.
    #[serde(default)]
    pub second_factor: SecondFactor,
    /// The audit log.
    #[serde(default)]
    pub audit: Audit,
    /// Clusters.
    #[serde(default)]
    pub clusters: Clusters,
    /// Servers that share the database.
    #[serde(default)]
    pub replicas: ReplicaSettings,
    /// What a server under test leaves out on purpose. Not a setting.
    #[serde(skip)]
    pub broken: Broken,
}

/// The files that TLS is spoken with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate and its chain.
    pub certificate: PathBuf,
    /// The certificate's key.
    pub key: PathBuf,
}

fn default_listen() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 8080))
}

fn a_year() -> u32 {
    365 * 24 * 60 * 60
}

fn default_metrics_listen() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 9090))
}

fn default_data_dir() -> PathBuf {
    PathBuf::from("./data")
}

fn live() -> Environment {
    Environment::Live
}

fn default_log() -> String {
    "info,actix_server=warn,actix_http::h1::dispatcher=off".into()
}

/// More than lost keys of a large installation behind one address, and a thirtieth of what a server could look up.
fn unknown_rate_limit() -> RateLimit {
    const PER_MINUTE: NonZeroU32 = NonZeroU32::new(18_000).unwrap();
    const BURST: NonZeroU32 = NonZeroU32::new(100).unwrap();
    RateLimit::On { per_minute: PER_MINUTE, burst: BURST }
}

fn environment<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Environment, D::Error> {
    match String::deserialize(deserializer)?.as_str() {
        "live" => Ok(Environment::Live),
        "test" => Ok(Environment::Test),
        _ => Err(serde::de::Error::custom("environment is `live` or `test`")),
    }
}

fn parsed<'de, D: Deserializer<'de>, T: std::str::FromStr<Err: std::fmt::Display>>(
    deserializer: D,
) -> Result<T, D::Error> {
    String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
}

fn some_parsed<'de, D: Deserializer<'de>, T: std::str::FromStr<Err: std::fmt::Display>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    parsed(deserializer).map(Some)
}

fn networks<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Networks, D::Error> {
    let text = String::deserialize(deserializer)?;
    Networks::new(listed(&text)).map_err(serde::de::Error::custom)
}

fn listed(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|item| !item.is_empty())
}

/// Variables that are not settings of the server.
const NOT_SETTINGS: [&str; 1] = ["KUBEVISION_CONFIG"];
/// Settings that may come from a file named by `<name>_FILE`.
const SECRETS: [&str; 2] = ["KUBEVISION_DATABASE_URL", "KUBEVISION_ADMIN_PASSWORD"];

/// What Kubernetes puts into every pod beside a Service called `kubevision`.
fn is_service(name: &str) -> bool {
    let rest = name.strip_prefix("KUBEVISION_").unwrap_or(name);
    rest == "SERVICE_HOST" || rest.starts_with("SERVICE_PORT") || rest == "PORT" || rest.starts_with("PORT_")
}

impl Config {
    /// From the environment of this process and the file it names.
    ///
    /// # Errors
    /// [`ConfigError`].
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
    pub fn from_environment() -> Result<Self, ConfigError> {
        Self::from_variables(
            std::env::vars_os().filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?))),
        )
    }

    /// From the given variables and the file they name.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn from_variables(variables: impl IntoIterator<Item = (String, String)>) -> Result<Self, ConfigError> {
        let all: HashMap<String, String> = variables.into_iter().collect();
        let kubeconfig = all.get("KUBECONFIG").filter(|path| !path.is_empty()).map(PathBuf::from);
        let in_cluster = all.get("KUBERNETES_SERVICE_HOST").zip(all.get("KUBERNETES_SERVICE_PORT"));
        let in_cluster = in_cluster.map(|(host, port)| match host.contains(':') {
            true => format!("https://[{host}]:{port}"),
            false => format!("https://{host}:{port}"),
        });
        let mut variables: HashMap<String, String> =
            all.into_iter().filter(|(name, _)| name.starts_with("KUBEVISION_") && !is_service(name)).collect();
        let file = variables.get("KUBEVISION_CONFIG").cloned();
        for name in NOT_SETTINGS {
            variables.remove(name);
        }
        for name in SECRETS {
            let Some(path) = variables.remove(&format!("{name}_FILE")) else { continue };
            if variables.contains_key(name) {
                return Err(ConfigError::Setting(format!("both {name} and {name}_FILE are set")));
            }
            let value = std::fs::read_to_string(&path)
                .map_err(|source| ConfigError::File { name: format!("{name}_FILE"), source })?;
            variables.insert(name.to_owned(), value.trim_end_matches(['\r', '\n']).to_owned());
        }
        let mut builder = config::Config::builder();
        if let Some(path) = file {
            builder = builder.add_source(config::File::from(Path::new(&path)).format(config::FileFormat::Toml));
        }
        // Nested settings are written with two underscores: KUBEVISION_API_KEYS__MAX_PER_USER.
        let source = config::Environment::with_prefix("KUBEVISION").prefix_separator("_").separator("__");
        let read = builder.add_source(source.source(Some(variables))).build().and_then(config::Config::try_deserialize);
        let read: Self = read.map_err(|error| {
            ConfigError::Setting(match error {
                // Its words repeat the line, which may hold a secret.
                config::ConfigError::FileParse { .. } => "the file is not valid TOML".into(),
                other => other.to_string(),
            })
        })?;
        let missing = match (&read.tls_cert, &read.tls_key) {
            (Some(_), None) => Some(("KUBEVISION_TLS_CERT", "KUBEVISION_TLS_KEY")),
            (None, Some(_)) => Some(("KUBEVISION_TLS_KEY", "KUBEVISION_TLS_CERT")),
            _ => None,
        };
        if let Some((set, missing)) = missing {
            return Err(ConfigError::Setting(format!(
                "{set} is set without {missing}; TLS takes both, plain HTTP neither"
            )));
        }
        Ok(Self { kubeconfig, in_cluster, ..read })
    }

    /// The files that TLS is spoken with; none for plain HTTP.
    #[must_use]
    pub fn tls(&self) -> Option<TlsFiles> {
        let (certificate, key) = self.tls_cert.clone().zip(self.tls_key.clone())?;
        Some(TlsFiles { certificate, key })
    }

    /// Everybody's rate limit and the exceptions.
    #[must_use]
    pub fn limits(&self) -> Limits {
        Limits { everybody: self.rate_limit, others: self.rate_limits.clone() }
    }

    /// The database.
    ///
    /// # Errors
    /// [`ConfigError::Setting`] for a URL of no known kind.
    pub fn database(&self) -> Result<DatabaseUrl, ConfigError> {
        match &self.database_url {
            Some(url) => DatabaseUrl::parse(url.expose_secret()),
            None => DatabaseUrl::parse(&format!("sqlite://{}", self.data_dir.join("kubevision.db").display())),
        }
        .map_err(|error| ConfigError::Setting(format!("database_url: {error}")))
    }
}

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;
