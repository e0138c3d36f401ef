//! Get a kubeconfig for one cluster, by which kubectl and its like reach it through this server with an API key.
//!
//! Never in it: a secret, or anything of the way from here to the cluster. The key stays in its owner's environment.

use super::{Acting, list_clusters::find_known};
use crate::{failure::Failure, origin::Origin, tls};
use base64::{Engine, prelude::BASE64_STANDARD};
use kube::config::{
    AuthInfo, Cluster, Context, ExecConfig, ExecInteractiveMode, Kubeconfig, NamedAuthInfo, NamedCluster, NamedContext,
};
use kv_authz::{action::GetKubeconfig, audit::Target};
use kv_store::ClusterList;

/// The name of the one user in it.
const USER: &str = "kubevision";

/// What kubectl runs to learn the key: it prints the key from the environment in the words that kubectl reads. All of it is
/// of the shell itself: no other program is started, so the key is in no command line. `echo` gets no backslash.
const PLUGIN: &str = r#"LC_ALL=C
key=${KUBEVISION_API_KEY-}
refuse() {
  echo "KUBEVISION_API_KEY $1. Set it to your API key: export KUBEVISION_API_KEY=kv_..." >&2
  exit 1
}
test -n "$key" || refuse 'is not set'
case $key in
  kv_live_* | kv_test_*) ;;
  *) refuse 'does not hold an API key' ;;
esac
case ${key#kv_????_} in
  *[!0-9A-Za-z]*) refuse 'does not hold an API key' ;;
esac
test ${#key} -eq 56 || refuse 'does not hold a whole API key'
echo '{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{"token":"'"$key"'"}}'
"#;

/// The kubeconfig for a cluster that the caller may know of, in YAML. `server` is where clients reach this server.
///
/// # Errors
/// [`Failure`]: 404 for a cluster the caller may not know of; [`Failure::Invalid`] where nobody says how clients reach this
/// server.
pub async fn get_kubeconfig(
    acting: &Acting<'_>,
    clusters: &ClusterList,
    name: &str,
    server: Option<&Origin>,
) -> Result<String, Failure> {
    acting.authorize::<GetKubeconfig>(Target::of("clusters").named(name))?;
    let cluster = find_known(acting.principal, clusters, name)?;
    let server = server.ok_or_else(|| {
        let detail = "It is not known how you reach this server: send a plain `Host` field, `host` or `host:port`, \
                      or have the operator set KUBEVISION_PUBLIC_URL.";
        Failure::invalid("unknown_public_url", detail)
    })?;
    let authorities = match acting.app.config.tls_ca.clone() {
        None => None,
        Some(path) => {
            let read = tokio::task::spawn_blocking(move || tls::authorities(&path)).await;
            let read = read.map_err(|error| Failure::internal("reading KUBEVISION_TLS_CA", error))?;
            Some(read.map_err(|error| Failure::internal("reading KUBEVISION_TLS_CA", error))?)
        }
    };
    write(&cluster.name, server, authorities.as_deref())
}

fn write(cluster: &str, server: &Origin, authorities: Option<&str>) -> Result<String, Failure> {
    let yaml = serde_saphyr::to_string(&document(cluster, server, authorities));
    let yaml = yaml.map_err(|error| Failure::internal("writing a kubeconfig", error))?;
    let unsafe_way = match server.is_secure() {
        true => "",
        false => "#\n# Its server is plain HTTP, over which kubectl sends no key: give the server a certificate.\n",
    };
    Ok(format!(
        "# The way to cluster {cluster} through KubeVision. This file holds no secret: your API key stays in the environment.\n\
         #\n\
         #   export KUBEVISION_API_KEY=kv_...\n\
         #   kubectl --kubeconfig {cluster}.kubeconfig get pods\n\
         {unsafe_way}{yaml}"
    ))
}

fn document(cluster: &str, server: &Origin, authorities: Option<&str>) -> Kubeconfig {
    let name = format!("kubevision-{cluster}");
    let exec = ExecConfig {
        api_version: Some("client.authentication.k8s.io/v1".into()),
        command: Some("sh".into()),
        args: Some(vec!["-c".into(), PLUGIN.into()]),
        install_hint: Some("The API key is read from KUBEVISION_API_KEY by a POSIX shell, `sh`.".into()),
        interactive_mode: Some(ExecInteractiveMode::Never),
        provide_cluster_info: false,
        ..ExecConfig::default()
    };
    let reached = Cluster {
        server: Some(format!("{server}/api/v1/clusters/{cluster}/k8s")),
        certificate_authority_data: authorities.map(|pem| BASE64_STANDARD.encode(pem)),
        ..Cluster::default()
    };
    let context = Context { cluster: name.clone(), user: Some(USER.into()), ..Context::default() };
    Kubeconfig {
        api_version: Some("v1".into()),
        kind: Some("Config".into()),
        clusters: vec![NamedCluster { name: name.clone(), cluster: Some(reached), ..NamedCluster::default() }],
        auth_infos: vec![NamedAuthInfo {
            name: USER.into(),
            auth_info: Some(AuthInfo { exec: Some(exec), ..AuthInfo::default() }),
            ..NamedAuthInfo::default()
        }],
        contexts: vec![NamedContext { name: name.clone(), context: Some(context), ..NamedContext::default() }],
        current_context: Some(name),
        ..Kubeconfig::default()
    }
}
