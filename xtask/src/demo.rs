//! `cargo xtask demo`: the user's page, for real. A server on its embedded database, spoken to over TLS, a real Kubernetes, a
//! key, the page's two curl calls word for word but for the demo's own authority (`--cacert`), the audit log, a revocation.
//! Every step is checked.

use crate::{
    certificates::Authority,
    error::{Done, TaskError, Tried},
    kube,
    output::{line, progress},
    suite,
};
use serde_json::{Value, json};
use std::{
    fs,
    io::Write,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

const USER: &str = "ann";
const PASSWORD: &str = "only-for-the-demo-1";
const KEY: &str = "github-actions-deploy";

/// Runs the demo; with `once` it ends everything it started.
pub(crate) fn run(once: bool) -> Done {
    let root = suite::root()?;
    step(1, "Building the server");
    suite::cargo(&root, &["build", "--quiet", "--bin", "kv-server"], &[])?;
    ensure_curl()?;
    step(2, "Finding a Kubernetes");
    let (kubeconfig, ours) = kubernetes()?;
    let mut demo = Demo::start(&root, kubeconfig)?;
    let done = demo.walk();
    if once || done.is_err() {
        demo.stop()?;
        if ours {
            kube::down(CLUSTER)?;
        }
        done?;
        line("\nThe demo did what it should, and everything it started has ended.");
        return Ok(());
    }
    demo.farewell();
    Ok(())
}

const CLUSTER: &str = "demo";

/// The operator's Kubernetes if `KUBECONFIG` names one, else our own; and whether it is ours.
fn kubernetes() -> Done<(PathBuf, bool)> {
    if let Some(path) = std::env::var_os("KUBECONFIG").map(PathBuf::from).filter(|path| path.is_file()) {
        line(&format!("   using {}", path.display()));
        return Ok((path, false));
    }
    let cluster = kube::up(CLUSTER, &[], &|text| progress(&format!("   {text}")))?;
    Ok((cluster.kubeconfig, true))
}

fn ensure_curl() -> Done {
    if Command::new("curl").arg("--version").output().is_ok() {
        return Ok(());
    }
    progress("   installing curl");
    let installed = Command::new("apt-get").args(["install", "-y", "-q", "curl"]).stdout(Stdio::null()).status();
    if installed.is_ok_and(|status| status.success()) {
        return Ok(());
    }
    Err(TaskError::new("the demo calls curl, and it is not installed; run: apt-get install curl"))
}

fn step(number: u8, text: &str) {
    line(&format!("\n{number:>2}. {text}"));
}

struct Demo {
    server: Child,
    base: String,
    environment: Vec<(&'static str, String)>,
    kubeconfig: PathBuf,
    folder: PathBuf,
}

/// An authority of the demo's own in a folder, and what it signs for the server: certificate, key.
fn certificates(folder: &Path) -> Done<(String, String)> {
    let authority = Authority::new("KubeVision demo CA").tried("making the demo's CA")?;
    let signed = authority
        .sign("kv-server", rcgen::ExtendedKeyUsagePurpose::ServerAuth)
        .tried("making the server's certificate")?;
    let write = |name: &str, text: &str| -> Done<String> {
        let path = folder.join(name);
        kube::private_file(&path, text)?;
        Ok(path.display().to_string())
    };
    write(CA, authority.certificate())?;
    Ok((write("tls.crt", &signed.certificate)?, write("tls.key", &signed.key)?))
}

/// The file of the demo's authority, in its folder.
const CA: &str = "ca.crt";

impl Demo {
    fn start(root: &Path, kubeconfig: PathBuf) -> Done<Self> {
        step(3, "Starting the server on its embedded SQLite");
        let folder = root.join("target/demo").join(std::process::id().to_string());
        fs::create_dir_all(&folder).tried("making the demo's folder")?;
        let (port, metrics) = (free_port(8080)?, free_port(9090)?);
        let base = format!("https://127.0.0.1:{port}");
        let (certificate, key) = certificates(&folder)?;
        let environment = vec![
            ("KUBEVISION_LISTEN", format!("127.0.0.1:{port}")),
            ("KUBEVISION_TLS_CERT", certificate),
            ("KUBEVISION_TLS_KEY", key),
            ("KUBEVISION_TLS_CA", folder.join(CA).display().to_string()),
            ("KUBEVISION_PUBLIC_URL", base.clone()),
            ("KUBEVISION_METRICS_LISTEN", format!("127.0.0.1:{metrics}")),
            ("KUBEVISION_DATA_DIR", folder.join("data").display().to_string()),
            // The Kubernetes of the demo is on this machine, which is refused unless the operator says so.
            ("KUBEVISION_CLUSTERS__ALLOWED_ADDRESSES", "127.0.0.1".to_owned()),
        ];
        let log = fs::File::create(folder.join("server.log")).tried("making the server's log")?;
        let server = Command::new(suite::program("kv-server")?)
            .env_clear()
            .envs(environment.iter().cloned())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .tried("starting the server")?;
        let mut demo = Self { server, base, environment, kubeconfig, folder };
        if let Err(error) = demo.wait_until_ready() {
            demo.stop()?;
            return Err(error);
        }
        line(&format!("   ready at {}", demo.base));
        Ok(demo)
    }

    fn wait_until_ready(&mut self) -> Done {
        let started = Instant::now();
        while started.elapsed() < Duration::from_secs(20) {
            if self.server.try_wait().tried("looking at the server")?.is_some() {
                break;
            }
            if self.call("GET", "/readyz", None, None).is_ok_and(|(status, _)| status == 200) {
                return Ok(());
            }
            thread::sleep(Duration::from_millis(50));
        }
        let log = fs::read_to_string(self.folder.join("server.log")).unwrap_or_default();
        Err(TaskError::new(format!("the server did not become ready; its log:\n{log}")))
    }

    fn walk(&self) -> Done {
        step(4, "Registering the Kubernetes as cluster `prod`, and a user");
        let kubeconfig = self.kubeconfig.display().to_string();
        self.task(&["cluster", "add", "prod", "--kubeconfig", &kubeconfig], None)?;
        self.task(&["user", "create", USER, "--role", "dev", "--password-stdin"], Some(PASSWORD))?;
        self.task(&["user", "assign", USER, "--cluster", "prod"], None)?;

        step(5, "Signing in and creating a Deployment `api-server`");
        let login = json!({"username": USER, "password": PASSWORD});
        let token = self.expect(200, "POST", "/api/v1/auth/login", None, Some(&login))?;
        let session = format!("Bearer {}", text(&token, "/access_token")?);
        let deployments = "/api/v1/clusters/prod/namespaces/default/deployments";
        let (status, answer) = self.call("POST", deployments, Some(&session), Some(&deployment()))?;
        if status != 201 && status != 409 {
            return Err(TaskError::new(format!("creating the Deployment was answered {status}: {answer}")));
        }

        step(6, "Creating an API key");
        let made = self.expect(201, "POST", "/api/v1/api-keys", Some(&session), Some(&json!({"name": KEY})))?;
        let (key, id) = (text(&made, "/key")?, text(&made, "/id")?);
        line(&format!("   {KEY}: {key}"));

        step(7, "The page's first call");
        let clusters = self
            .page_call(&format!("curl {}/api/v1/clusters \\\n-H \"Authorization: ApiKey {key}\"", self.base), &key)?;
        if text(&clusters, "/items/0/name")? != "prod" {
            return Err(TaskError::new(format!("the clusters are not those expected: {clusters}")));
        }

        step(8, "The page's second call: a pipeline scales a Deployment");
        let patched = self.page_call(
            &format!(
                "curl -X PATCH {}/api/v1/clusters/prod/namespaces/default/deployments/api-server \\\n\
                 -H \"Authorization: ApiKey $KUBEVISION_API_KEY\" \\\n\
                 -H \"Content-Type: application/json\" \\\n\
                 -d '{{\"spec\": {{\"replicas\": 5}}}}'",
                self.base
            ),
            &key,
        )?;
        if patched.pointer("/spec/replicas") != Some(&json!(5)) {
            return Err(TaskError::new(format!("the Deployment was not scaled: {patched}")));
        }

        step(9, "The replicas in the cluster");
        self.five_replicas(&session)?;

        step(10, "What is on record");
        self.task(&["audit", "list", "--user", USER, "--agent", KEY], None)?;

        step(11, "Revoking the key");
        self.expect(204, "DELETE", &format!("/api/v1/api-keys/{id}"), Some(&session), None)?;
        let (status, answer) = self.call("GET", "/api/v1/clusters", Some(&format!("ApiKey {key}")), None)?;
        line(&format!("   the next call with it: {status} {answer}"));
        if status != 401 {
            return Err(TaskError::new("the revoked key was accepted"));
        }
        Ok(())
    }

    fn five_replicas(&self, session: &str) -> Done {
        let pods = "/api/v1/clusters/prod/namespaces/default/pods?labelSelector=app%3Dapi-server";
        let started = Instant::now();
        loop {
            let list = self.expect(200, "GET", pods, Some(session), None)?;
            let names: Vec<&str> = list["items"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(|pod| pod.pointer("/metadata/name")?.as_str())
                .collect();
            if names.len() == 5 {
                names.iter().for_each(|name| line(&format!("   {name}")));
                return Ok(());
            }
            if started.elapsed() > Duration::from_secs(60) {
                return Err(TaskError::new(format!("after a minute there are {} replicas, not 5", names.len())));
            }
            thread::sleep(Duration::from_millis(300));
        }
    }

    /// The file of the authority that the server's certificate is signed by.
    fn ca(&self) -> String {
        self.folder.join(CA).display().to_string()
    }

    /// Runs one of the page's commands in a shell, as the page shows it but for the authority to trust, and reads its
    /// answer.
    fn page_call(&self, command: &str, key: &str) -> Done<Value> {
        let command = command.replacen("curl ", &format!("curl --cacert \"{}\" ", self.ca()), 1);
        command.lines().for_each(|text| line(&format!("   {text}")));
        let quiet = command.replacen("curl ", "curl --silent --show-error ", 1);
        let output =
            Command::new("sh").args(["-c", &quiet]).env("KUBEVISION_API_KEY", key).output().tried("running curl")?;
        let answer: Value = serde_json::from_slice(&output.stdout).tried("reading curl's answer")?;
        let shown = answer.to_string();
        line(&format!(
            "   → {}{}",
            shown.chars().take(300).collect::<String>(),
            if shown.len() > 300 { " …" } else { "" }
        ));
        Ok(answer)
    }

    /// Calls the API and gives status and body.
    fn call(&self, method: &str, path: &str, credential: Option<&str>, body: Option<&Value>) -> Done<(u16, Value)> {
        let mut command = Command::new("curl");
        command.args(["--cacert", &self.ca(), "--silent", "--max-time", "30", "-X", method, "-w", "\n%{http_code}"]);
        if let Some(credential) = credential {
            command.args(["-H", &format!("Authorization: {credential}")]);
        }
        if let Some(body) = body {
            command.args(["-H", "Content-Type: application/json", "-d", &body.to_string()]);
        }
        let output = command.arg(format!("{}{path}", self.base)).output().tried("running curl")?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let (body, status) = said.rsplit_once('\n').unwrap_or(("", &said));
        let status = status.parse().map_err(|_| TaskError::new(format!("{method} {path}: no answer")))?;
        Ok((status, serde_json::from_str(body).unwrap_or(Value::Null)))
    }

    fn expect(
        &self,
        wanted: u16,
        method: &str,
        path: &str,
        credential: Option<&str>,
        body: Option<&Value>,
    ) -> Done<Value> {
        let (status, answer) = self.call(method, path, credential, body)?;
        if status == wanted {
            return Ok(answer);
        }
        Err(TaskError::new(format!("{method} {path} was answered {status}, not {wanted}: {answer}")))
    }

    /// Runs an admin task beside the server, with its settings.
    fn task(&self, arguments: &[&str], input: Option<&str>) -> Done {
        line(&format!("   cargo xtask {}", arguments.join(" ")));
        let mut command = Command::new(suite::program("xtask")?);
        // The demo's settings alone: one left over in the shell would send the task to another database.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("KUBEVISION_") {
                command.env_remove(name);
            }
        }
        let mut child = command
            .args(arguments)
            .envs(self.environment.iter().cloned())
            .stdin(Stdio::piped())
            .spawn()
            .tried("starting the task")?;
        if let (Some(mut pipe), Some(input)) = (child.stdin.take(), input) {
            pipe.write_all(input.as_bytes()).tried("handing over the password")?;
        }
        if child.wait().tried("waiting for the task")?.success() {
            return Ok(());
        }
        Err(TaskError::new(format!("the task `{}` failed", arguments.join(" "))))
    }

    fn farewell(&self) {
        let settings: Vec<String> =
            self.environment.iter().map(|(name, value)| format!("export {name}={value}")).collect();
        line(&format!(
            "\nThe server runs on (process {}). Go on with:\n\n  {}\n  cargo xtask key create --user {USER} --name mine\n  \
             curl --cacert \"{}\" {}/api/v1/clusters -H \"Authorization: ApiKey <key>\"\n  cargo xtask audit list\n  \
             cargo xtask kubeconfig prod > prod.kubeconfig\n\n\
             Its log is {}. To end it: kill {}; the Kubernetes: cargo xtask kube down {CLUSTER}",
            self.server.id(),
            settings.join("\n  "),
            self.ca(),
            self.base,
            self.folder.join("server.log").display(),
            self.server.id(),
        ));
    }

    /// Asks the server to stop, and waits until it has.
    fn stop(&mut self) -> Done {
        let asked = Command::new("kill").args(["-TERM", &self.server.id().to_string()]).status();
        if !asked.is_ok_and(|status| status.success()) {
            // It has ended already, or there is no `kill`; either way it ends now.
            drop(self.server.kill());
        }
        let status = self.server.wait().tried("waiting for the server")?;
        if !status.success() {
            progress(&format!("   the server ended with {status}"));
        }
        fs::remove_dir_all(&self.folder).tried("removing the demo's folder")
    }
}

fn free_port(preferred: u16) -> Done<u16> {
    let bound = TcpListener::bind(("127.0.0.1", preferred)).or_else(|_| TcpListener::bind(("127.0.0.1", 0)));
    Ok(bound.tried("finding a free port")?.local_addr().tried("finding a free port")?.port())
}

fn text(value: &Value, pointer: &str) -> Done<String> {
    let found = value.pointer(pointer).and_then(Value::as_str);
    found.map(str::to_owned).ok_or_else(|| TaskError::new(format!("the answer has no {pointer}: {value}")))
}

fn deployment() -> Value {
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "api-server"},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": {"app": "api-server"}},
            "template": {
                "metadata": {"labels": {"app": "api-server"}},
                "spec": {"containers": [{"name": "api-server", "image": "example.invalid/api-server:1"}]},
            },
        },
    })
}
