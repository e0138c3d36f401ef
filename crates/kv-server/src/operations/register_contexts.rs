//! Register the operator's own clusters at start: the contexts of their kubeconfig, or the cluster the server runs in. Each
//! once: what is registered under a name stays as it is.

use super::{Acting, add_cluster::add_cluster};
use crate::{
    app::App,
    cluster::{ClusterAccess, ClusterName, KubeconfigSource},
    failure::Failure,
    logging,
};
use secrecy::SecretString;
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

/// Where a pod finds its own cluster.
const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
/// The name it gets here.
const IN_CLUSTER: &str = "in-cluster";

/// Registers them, where the operator asks for it, and tells how many are new. What cannot be registered is logged and
/// left out: one bad context must not keep the server from starting.
///
/// # Errors
/// [`Failure::Unavailable`] where the database is in trouble.
pub async fn register_contexts(app: &Arc<App>) -> Result<usize, Failure> {
    if !app.config.register_contexts {
        return Ok(0);
    }
    let mut new = 0;
    for (name, access) in found(app) {
        let known = app.reload_clusters().await?;
        if known.clusters.iter().any(|cluster| cluster.name == name) {
            continue;
        }
        match add_cluster(&Acting::operator(app)?, &name, &access, false).await {
            Ok(_) => new += 1,
            // Another server was first.
            Err(Failure::Conflict { .. }) => {}
            Err(failure @ Failure::Unavailable { .. }) => return Err(failure),
            Err(failure) => {
                tracing::warn!(cluster = name, error = logging::whole(&failure), "not registered")
            }
        }
    }
    Ok(new)
}

fn found(app: &App) -> Vec<(String, ClusterAccess)> {
    match &app.config.kubeconfig {
        Some(path) => contexts(path),
        None => in_cluster(app).map(|access| (IN_CLUSTER.to_owned(), access)).into_iter().collect(),
    }
}

fn contexts(path: &PathBuf) -> Vec<(String, ClusterAccess)> {
    let left_out = |what: &str, error: &dyn std::fmt::Display| {
        tracing::warn!(path = %path.display(), %error, "{what} is not registered");
    };
    let yaml = match std::fs::read(path) {
        Ok(yaml) => yaml,
        Err(error) => {
            left_out("the kubeconfig", &error);
            return Vec::new();
        }
    };
    let source = KubeconfigSource::Operator { folder: path.parent().unwrap_or(Path::new(".")).to_owned() };
    let names = ClusterAccess::contexts(&yaml).unwrap_or_else(|error| {
        left_out("the kubeconfig", &error);
        Vec::new()
    });
    let access = |name: String| {
        if let Err(error) = ClusterName::parse(&name) {
            left_out(&format!("context `{name}`"), &error);
            return None;
        }
        match ClusterAccess::from_kubeconfig(&yaml, Some(&name), &source) {
            Ok(access) => Some((name, access)),
            Err(error) => {
                left_out(&format!("context `{name}`"), &error);
                None
            }
        }
    };
    names.into_iter().filter_map(access).collect()
}

/// The cluster of the pod that this runs in, by its service account.
fn in_cluster(app: &App) -> Option<ClusterAccess> {
    let server = app.config.in_cluster.as_deref()?;
    let file = |name: &str| std::fs::read_to_string(Path::new(SERVICE_ACCOUNT).join(name)).ok();
    let token = SecretString::from(file("token")?.trim().to_owned());
    match ClusterAccess::from_parts(server, Some(&file("ca.crt")?), token) {
        Ok(access) => Some(access),
        Err(error) => {
            tracing::warn!(error = logging::whole(&error), "the cluster that this runs in is not registered");
            None
        }
    }
}
