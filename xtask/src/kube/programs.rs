//! What a cluster's programs are told: files and command lines. Never here: starting or awaiting them.

use std::path::Path;
use std::process::Command;

use base64::prelude::{BASE64_STANDARD, Engine};

use super::folders::private_file;
use super::{Binaries, KubeError, certificates};

/// From this minor version on there is no insecure port to switch off, and no token secret for a service account.
const MODERN: u32 = 24;

/// The node on which the kubelet for tests runs all pods. Its program has the same name written down.
pub(crate) const NODE: &str = "node-1";

/// The ports of one cluster, all on 127.0.0.1.
#[derive(Clone, Copy)]
pub(crate) struct Ports {
    /// The API server's.
    pub(crate) api: u16,
    /// Where etcd serves the API server.
    pub(crate) etcd: u16,
    /// Where etcd would meet other etcds.
    pub(crate) peer: u16,
    /// Where the kubelet serves the API server.
    pub(crate) kubelet: u16,
}

/// One cluster's programs, their folder and ports.
pub(crate) struct Programs<'a> {
    binaries: &'a Binaries,
    folder: &'a Path,
    ports: Ports,
    modern: bool,
    api_server_arguments: &'a [String],
}

impl<'a> Programs<'a> {
    /// For a cluster that keeps everything in `folder`; its API server is told `api_server_arguments` on top.
    pub(crate) fn new(
        binaries: &'a Binaries,
        folder: &'a Path,
        ports: Ports,
        api_server_arguments: &'a [String],
    ) -> Self {
        let modern = binaries.minor().is_some_and(|minor| minor >= MODERN);
        Self { binaries, folder, ports, modern, api_server_arguments }
    }

    /// Whether a service account can be used only once a token secret was made for it.
    pub(crate) fn service_accounts_need_secrets(&self) -> bool {
        !self.modern
    }

    /// Writes keys, tokens, the audit policy and the kubeconfigs; answers with the administrator's token.
    pub(crate) fn write_files(&self) -> Result<String, KubeError> {
        let ca = certificates::write(self.folder)?;
        let (admin, manager, kubelet) = (certificates::token()?, certificates::token()?, certificates::token()?);
        let file = |name: &str, text: &str| private_file(&self.folder.join(name), text);
        // Each has a name of its own, so that the audit log tells them apart.
        file(
            "tokens.csv",
            &format!(
                "{admin},kubevision-admin,kubevision-admin,\"system:masters\"\n\
                 {manager},system:kube-controller-manager,controller-manager,\"system:masters\"\n\
                 {kubelet},system:node:{NODE},kubelet,\"system:masters\"\n"
            ),
        )?;
        file("audit-policy.yaml", AUDIT_POLICY)?;
        file("kubeconfig", &self.kubeconfig(&ca, "kubevision-admin", &admin))?;
        file("controller-manager.kubeconfig", &self.kubeconfig(&ca, "controller-manager", &manager))?;
        file("kubelet.kubeconfig", &self.kubeconfig(&ca, "kubelet", &kubelet))?;
        Ok(admin)
    }

    /// The store. One member, which loses everything with its folder.
    pub(crate) fn etcd(&self) -> Command {
        let url = |port| format!("http://127.0.0.1:{port}");
        let (client, peer) = (url(self.ports.etcd), url(self.ports.peer));
        let mut command = Command::new(&self.binaries.etcd);
        command.arg("--data-dir").arg(self.folder.join("etcd"));
        command.args(["--name", "only", "--initial-cluster", &format!("only={peer}")]);
        command.args(["--listen-client-urls", &client, "--advertise-client-urls", &client]);
        command.args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer]);
        command
    }

    /// The API server: RBAC, tokens from the file, everything it does in the audit log.
    pub(crate) fn kube_apiserver(&self) -> Command {
        let mut command = Command::new(&self.binaries.kube_apiserver);
        let mut file = |option: &str, name: &str| {
            command.arg(option).arg(self.folder.join(name));
        };
        file("--cert-dir", "certificates");
        file("--tls-cert-file", "server.crt");
        file("--tls-private-key-file", "server.key");
        file("--token-auth-file", "tokens.csv");
        file("--service-account-key-file", "service-accounts.pub");
        file("--service-account-signing-key-file", "service-accounts.key");
        file("--audit-policy-file", "audit-policy.yaml");
        file("--audit-log-path", "audit.log");
        file("--kubelet-certificate-authority", "ca.crt");
        file("--kubelet-client-certificate", "kubelet-client.crt");
        file("--kubelet-client-key", "kubelet-client.key");
        command.args([
            &format!("--etcd-servers=http://127.0.0.1:{}", self.ports.etcd),
            "--bind-address=127.0.0.1",
            &format!("--secure-port={}", self.ports.api),
            // The machine may have no other address.
            "--advertise-address=127.0.0.1",
            "--endpoint-reconciler-type=none",
            "--authorization-mode=RBAC",
            "--service-account-issuer=https://kubernetes.default.svc",
            "--service-cluster-ip-range=10.0.0.0/24",
            // The kubelet's node has the address 127.0.0.1 and no name that can be looked up.
            "--kubelet-preferred-address-types=InternalIP",
        ]);
        if !self.modern {
            command.arg("--insecure-port=0");
        }
        // Last, as the last word about an option counts.
        command.args(self.api_server_arguments);
        command
    }

    /// The controllers, all but the one that would take the pods from a node whose heartbeat is late on a busy machine.
    pub(crate) fn kube_controller_manager(&self) -> Command {
        let mut command = Command::new(&self.binaries.kube_controller_manager);
        let mut file = |option: &str, name: &str| {
            command.arg(option).arg(self.folder.join(name));
        };
        file("--kubeconfig", "controller-manager.kubeconfig");
        file("--service-account-private-key-file", "service-accounts.key");
        file("--root-ca-file", "ca.crt");
        // It makes this folder; by default one of the machine's own.
        file("--flex-volume-plugin-dir", "flexvolume");
        command.args(["--controllers=*,-nodelifecycle", "--leader-elect=false", "--secure-port=0"]);
        if !self.modern {
            command.arg("--port=0");
        }
        command
    }

    /// What runs the pods, if there is one.
    pub(crate) fn kubelet(&self) -> Option<Command> {
        let mut command = Command::new(self.binaries.kubelet.as_ref()?);
        command.arg("--kubeconfig").arg(self.folder.join("kubelet.kubeconfig"));
        command.arg("--folder").arg(self.folder).arg(format!("--port={}", self.ports.kubelet));
        Some(command)
    }

    fn kubeconfig(&self, ca: &str, user: &str, token: &str) -> String {
        let (ca, port) = (BASE64_STANDARD.encode(ca), self.ports.api);
        format!(
            "apiVersion: v1\n\
             kind: Config\n\
             current-context: kubevision\n\
             clusters:\n\
             - name: kubevision\n  cluster:\n    server: https://127.0.0.1:{port}\n    certificate-authority-data: {ca}\n\
             users:\n\
             - name: {user}\n  user:\n    token: \"{token}\"\n\
             contexts:\n\
             - name: kubevision\n  context:\n    cluster: kubevision\n    user: {user}\n"
        )
    }
}

/// Who did what to which object, for every request, once it is answered.
const AUDIT_POLICY: &str = "\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: Metadata
";
