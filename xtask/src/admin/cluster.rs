//! `cargo xtask cluster`: clusters registered, listed, changed and removed.

use super::{
    cli::{ClusterTask, Switch},
    operator,
};
use crate::{
    error::{Done, TaskError, Tried},
    output::{line, rows},
};
use kv_server::{
    api::input::written,
    app::App,
    cluster::{ClusterAccess, KubeconfigSource},
    operations::{
        add_cluster::add_cluster,
        change_cluster::change_cluster,
        get_kubeconfig::get_kubeconfig,
        remove_cluster::remove_cluster,
        webhooks::{make_webhook_token, remove_webhook_token},
    },
    origin::Origin,
};
use secrecy::ExposeSecret;
use serde_json::json;
use std::{path::Path, sync::Arc};

/// Runs a task.
pub(super) async fn run(app: &Arc<App>, task: ClusterTask) -> Done {
    match task {
        ClusterTask::Add { name, kubeconfig, context, impersonate } => {
            let yaml = std::fs::read(&kubeconfig).tried(&format!("reading {}", kubeconfig.display()))?;
            let folder = kubeconfig.parent().unwrap_or(Path::new(".")).to_owned();
            let source = KubeconfigSource::Operator { folder };
            let access = ClusterAccess::from_kubeconfig(&yaml, context.as_deref(), &source)
                .tried(&format!("reading {}", kubeconfig.display()))?;
            add_cluster(&operator(app)?, &name, &access, impersonate).await?;
            line(&format!("Cluster {name} registered ({}).", access.server()));
        }
        ClusterTask::Set { name, impersonate } => {
            let changed = change_cluster(&operator(app)?, &name, impersonate == Switch::On).await?;
            let how = if changed.impersonate { "name the caller" } else { "are its own account's" };
            line(&format!("Calls to cluster {name} {how} from now on."));
        }
        ClusterTask::WebhookToken { name, remove: false } => {
            let token = make_webhook_token(&operator(app)?, &name).await?;
            // The one time it is shown.
            line(token.expose_secret());
        }
        ClusterTask::WebhookToken { name, remove: true } => {
            remove_webhook_token(&operator(app)?, &name).await?;
            line(&format!("Cluster {name} has no webhook token."));
        }
        ClusterTask::List { json } => {
            let list = app.clusters().await?;
            let told = |cluster: &kv_store::ClusterRecord| {
                json!({
                    "id": cluster.id.to_string(), "name": cluster.name, "server": cluster.server,
                    "created_at": written(cluster.created_at), "impersonate": cluster.impersonate,
                })
            };
            rows(
                json,
                &["name", "server", "impersonate", "created_at"],
                &list.clusters.iter().map(told).collect::<Vec<_>>(),
            );
        }
        ClusterTask::Remove { name } => {
            remove_cluster(&operator(app)?, &name).await?;
            line(&format!("Cluster {name} removed."));
        }
    }
    Ok(())
}

/// Prints a kubeconfig.
pub(super) async fn kubeconfig(app: &Arc<App>, cluster: &str, server: Option<Origin>) -> Done {
    let server = server.or_else(|| app.config.public_url.clone());
    if server.is_none() {
        return Err(TaskError::new(
            "say where clients reach the server: --server https://kubevision.example.com, or set KUBEVISION_PUBLIC_URL",
        ));
    }
    let clusters = app.clusters().await?;
    let yaml = get_kubeconfig(&operator(app)?, &clusters, cluster, server.as_ref()).await?;
    line(yaml.trim_end());
    Ok(())
}
