//! A server with TLS in front of the two real clusters, a namespace of the test's own in the first, and people who have
//! nothing but their kubeconfig and their key.

use crate::running::{PATIENCE, Running};
use kv_server::{
    cluster::{ClusterAccess, KubeconfigSource},
    operations::{Acting, add_cluster::add_cluster},
};
use kv_tests::{Authority, Backend, Key, Kubectl, Said, Session, TestApp, User};
use serde_json::{Value, json};
use std::{
    path::{Path, PathBuf},
    process::Command,
};

/// What a variable of `cargo xtask test` names.
pub(crate) fn from_environment(name: &str) -> PathBuf {
    let value = std::env::var_os(name);
    value.unwrap_or_else(|| panic!("{name} is not set; run the tests with `cargo xtask test`")).into()
}

/// The server, and the ground.
pub(crate) struct World {
    pub(crate) app: TestApp,
    /// A namespace in the first cluster, which is registered as `prod`. The second is `spare`.
    pub(crate) namespace: String,
    further: Vec<String>,
    _authority: Authority,
}

/// Somebody with a key, and what they run.
pub(crate) struct Person {
    pub(crate) user: User,
    pub(crate) session: Session,
    pub(crate) key: Key,
    kubectl: Kubectl,
    namespace: String,
}

impl World {
    pub(crate) async fn new(backend: Backend, name: &str) -> Self {
        Self::with(backend, name, &[]).await
    }

    pub(crate) async fn with(backend: Backend, name: &str, settings: &[(&str, &str)]) -> Self {
        let authority = Authority::new();
        let ca = authority.own_file().display().to_string();
        let mut all = vec![("KUBEVISION_TLS_CA", ca.as_str())];
        all.extend(settings);
        let app = TestApp::with_tls(backend, &all, &authority).await;
        for (name, variable) in [("prod", "KUBEVISION_TEST_KUBECONFIG"), ("spare", "KUBEVISION_TEST_KUBECONFIG_B")] {
            let path = from_environment(variable);
            let source = KubeconfigSource::Operator { folder: path.parent().unwrap_or(Path::new(".")).to_owned() };
            let access = ClusterAccess::from_kubeconfig(&std::fs::read(&path).unwrap(), None, &source).unwrap();
            add_cluster(&Acting::operator(app.inside()).unwrap(), name, &access, false).await.unwrap();
        }
        // Two tests of one name run at once, one a database; and the cluster may remember an earlier run.
        let namespace = format!("{name}-{backend:?}-{}", std::process::id()).to_lowercase();
        let mut world = Self { app, namespace: String::new(), further: Vec::new(), _authority: authority };
        world.namespace = world.another_namespace(&namespace);
        world
    }

    /// One more namespace in the first cluster.
    pub(crate) fn another_namespace(&mut self, name: &str) -> String {
        self.directly(&["create", "namespace", name], "");
        self.further.push(name.to_owned());
        name.to_owned()
    }

    /// kubectl without the server between, in the first cluster.
    fn direct(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(from_environment("KUBEVISION_TEST_KUBECTL"));
        command.env("KUBECONFIG", from_environment("KUBEVISION_TEST_KUBECONFIG"));
        command.args(["--namespace", &self.namespace]).args(arguments);
        command
    }

    /// The same; it must succeed.
    pub(crate) fn directly(&self, arguments: &[&str], input: &str) -> String {
        well(run(self.direct(arguments), input))
    }

    /// Pods of these names and of images for tests, running.
    pub(crate) fn pods(&self, images: &[(&str, &str)]) {
        for (name, image) in images {
            self.directly(&["create", "-f", "-"], &pod(name, image).to_string());
        }
        self.directly(&["wait", "--for=condition=Ready", "pods", "--all", "--timeout=30s"], "");
    }

    /// A user with a role, all of the first cluster or some namespaces of it, and a key.
    pub(crate) async fn person(&self, name: &str, role: &str, namespaces: &[&str]) -> Person {
        let user = self.app.user(name, role).await;
        self.app.assign(&user, "prod", namespaces).await;
        let session = self.app.login(name).await;
        let key = self.app.key(&session, "ci").await;
        let given = self.app.get("/api/v1/clusters/prod/kubeconfig").key(&key).send().await.expect(200);
        let kubectl = Kubectl::new(&given.text());
        Person { user, session, key, kubectl, namespace: self.namespace.clone() }
    }

    /// The same, with the test's own namespace alone.
    pub(crate) async fn own(&self, name: &str, role: &str) -> Person {
        self.person(name, role, &[&self.namespace]).await
    }

    /// The entries of a key, the newest first.
    pub(crate) async fn entries(&self, person: &Person, filter: &str) -> Vec<Value> {
        self.app.audit(&format!("key_id={}&{filter}", person.key.id)).await
    }
}

impl Drop for World {
    fn drop(&mut self) {
        for namespace in &self.further {
            let delete = self.direct(&["delete", "namespace", namespace, "--wait=false", "--ignore-not-found"]);
            drop(run(delete, ""));
        }
    }
}

impl Person {
    /// kubectl as this person has it, about to be run.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        self.with_key(&self.kubectl, arguments)
    }

    fn with_key(&self, kubectl: &Kubectl, arguments: &[&str]) -> Command {
        let all = [&["--namespace", &self.namespace], arguments].concat();
        kubectl.command(&all, &[("KUBEVISION_API_KEY", &self.key.text)])
    }

    /// Another program with the same kubeconfig and key, and nothing else.
    pub(crate) fn program(&self, variable: &str) -> Command {
        self.kubectl.lend(&from_environment(variable), &[("KUBEVISION_API_KEY", &self.key.text)])
    }

    /// kubectl with this key and the kubeconfig of another cluster.
    pub(crate) fn elsewhere(&self, kubeconfig: &str, arguments: &[&str]) -> Said {
        run(self.with_key(&Kubectl::new(kubeconfig), arguments), "")
    }

    /// Runs kubectl.
    pub(crate) fn tries(&self, arguments: &[&str]) -> Said {
        run(self.command(arguments), "")
    }

    /// What kubectl answers; and it must succeed.
    #[track_caller]
    pub(crate) fn does(&self, arguments: &[&str]) -> String {
        well(self.tries(arguments))
    }

    /// The same, with this input.
    #[track_caller]
    pub(crate) fn does_with(&self, arguments: &[&str], input: &str) -> String {
        well(run(self.command(arguments), input))
    }

    /// The same as JSON.
    #[track_caller]
    pub(crate) fn shows(&self, arguments: &[&str]) -> Value {
        let answer = self.does(&[arguments, &["-o", "json"]].concat());
        serde_json::from_str(&answer).unwrap_or_else(|error| panic!("{error}: {answer}"))
    }

    /// Creates an object.
    #[track_caller]
    pub(crate) fn creates(&self, object: &Value) {
        self.does_with(&["create", "-f", "-"], &object.to_string());
    }

    /// Why kubectl fails, which it must.
    #[track_caller]
    pub(crate) fn fails(&self, arguments: &[&str]) -> String {
        self.fails_with(arguments, "")
    }

    /// The same, with this input.
    #[track_caller]
    pub(crate) fn fails_with(&self, arguments: &[&str], input: &str) -> String {
        let said = run(self.command(arguments), input);
        assert!(!said.success, "{arguments:?}: {said:?}");
        said.complaint
    }

    /// Runs kubectl beside the test.
    pub(crate) fn starts(&self, arguments: &[&str]) -> Running {
        Running::start(self.command(arguments))
    }

    /// A file of this person's.
    pub(crate) fn file(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let path = self.kubectl.folder().join(name);
        std::fs::write(&path, content).unwrap();
        path.display().to_string()
    }

    /// Their folder.
    pub(crate) fn folder(&self) -> &Path {
        self.kubectl.folder()
    }
}

/// Runs a program to its end.
pub(crate) fn run(command: Command, input: &str) -> Said {
    let mut running = Running::start(command);
    running.tell_all(input);
    running.ends_within(PATIENCE)
}

/// What was answered, if it went well.
#[track_caller]
pub(crate) fn well(said: Said) -> String {
    assert!(said.success, "{}{}", said.answer, said.complaint);
    said.answer
}

pub(crate) fn pod(name: &str, image: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": name}},
        "spec": {"terminationGracePeriodSeconds": 0, "containers": [{"name": "main", "image": format!("kubevision.test/{image}")}]},
    })
}

pub(crate) fn config_map(name: &str, value: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"k": value}})
}

pub(crate) fn secret(name: &str, value: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": {"password": value}})
}

pub(crate) fn deployment(name: &str, replicas: u32) -> Value {
    let labels = json!({"app": name});
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name},
        "spec": {
            "replicas": replicas, "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"terminationGracePeriodSeconds": 0,
                         "containers": [{"name": "main", "image": "kubevision.test/clock"}]},
            },
        },
    })
}
