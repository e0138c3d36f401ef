//! `cargo xtask test`: everything the project is held to, on real databases and a real Kubernetes, from a bare checkout.
//! Also the short tasks around it.

use crate::{
    browser,
    cli::KubeTask,
    error::{Done, TaskError, Tried},
    kube,
    output::{line, progress},
    postgres, tidy,
};
use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

/// Names the PostgreSQL server for tests.
pub(crate) const POSTGRES: &str = "KUBEVISION_TEST_POSTGRES";
/// Names the kubeconfig of the Kubernetes for tests.
const KUBECONFIG: &str = "KUBEVISION_TEST_KUBECONFIG";

/// Names that Kubernetes' own audit log.
const KUBE_AUDIT: &str = "KUBEVISION_TEST_KUBE_AUDIT";

/// Name the same two of the second Kubernetes.
const KUBECONFIG_B: &str = "KUBEVISION_TEST_KUBECONFIG_B";
const KUBE_AUDIT_B: &str = "KUBEVISION_TEST_KUBE_AUDIT_B";

/// Names this program, for tests that need a Kubernetes with settings of its own (`kube up … --json`).
const XTASK: &str = "KUBEVISION_TEST_XTASK";

/// Name the programs that people use: kubectl, helm, and a Python that has the package `kubernetes`.
const KUBECTL: &str = "KUBEVISION_TEST_KUBECTL";
const HELM: &str = "KUBEVISION_TEST_HELM";
const PYTHON: &str = "KUBEVISION_TEST_PYTHON";

/// Name the browser, and the driver by which tests move it.
const CHROMIUM: &str = "KUBEVISION_TEST_CHROMIUM";
const CHROMEDRIVER: &str = "KUBEVISION_TEST_CHROMEDRIVER";

/// Runs the tests: all of them, or those of a filter.
pub(crate) fn run(filter: &Option<String>) -> Done {
    let started = Instant::now();
    let root = root()?;
    if filter.is_none() {
        step("tidy");
        check_tidy(&root)?;
        step("format");
        cargo(&root, &["fmt", "--all", "--check"], &[])?;
    }
    // What Kubernetes needs is built beside the tests: neither waits for the other.
    let building = std::thread::spawn(|| {
        let progress = |text: &str| progress(&format!("[kubernetes] {text}"));
        kube::clients(&progress).and_then(|clients| kube::ensure(&progress).map(|_| clients))
    });
    step("build");
    let built = cargo(&root, &["build", "--workspace", "--bins", "--tests"], &[]);
    let clients = building.join().map_err(|_| TaskError::new("building Kubernetes panicked"))?;
    built?;
    let clients = clients?;

    let this_program = program("xtask")?;
    step("browser");
    let browser = browser::ensure(&progress)?;
    step("PostgreSQL");
    let postgres = postgres::start(&progress).tried("starting a PostgreSQL for tests")?;
    step("Kubernetes");
    let clusters = Clusters::up()?;
    let environment = [
        (POSTGRES, postgres.url("postgres")),
        (KUBECONFIG, clusters.first.kubeconfig.display().to_string()),
        (KUBE_AUDIT, clusters.first.audit_log.display().to_string()),
        (KUBECONFIG_B, clusters.second.kubeconfig.display().to_string()),
        (KUBE_AUDIT_B, clusters.second.audit_log.display().to_string()),
        (XTASK, this_program.display().to_string()),
        (KUBECTL, clients.kubectl.display().to_string()),
        (HELM, clients.helm.display().to_string()),
        (PYTHON, clients.python.display().to_string()),
        (CHROMIUM, browser.chromium.display().to_string()),
        (CHROMEDRIVER, browser.chromedriver.display().to_string()),
    ];
    let done = tests(&root, filter, &environment, &clusters.first);
    // Ended whatever the tests said, and the tests' word counts.
    let ended = clusters.stop();
    let stopped = postgres.stop();
    done?;
    ended?;
    stopped.tried("ending the PostgreSQL for tests")?;
    line(&format!("\nEverything passed in {} s.", started.elapsed().as_secs()));
    Ok(())
}

/// The two Kubernetes of the tests: what is said about one cluster must not be true of the other.
struct Clusters {
    first: kube::Cluster,
    second: kube::Cluster,
}

impl Clusters {
    /// Both at once: each waits for its own programs most of the time.
    fn up() -> Done<Self> {
        let name = format!("test-{}", std::process::id());
        let other = format!("{name}-b");
        let beside = std::thread::spawn(move || kube::up(&other, &[], &|text| progress(&format!("{text} (second)"))));
        let first = kube::up(&name, &[], &progress);
        let second = beside.join().map_err(|_| TaskError::new("starting the second Kubernetes panicked"))?;
        match (first, second) {
            (Ok(first), Ok(second)) => Ok(Self { first, second }),
            (Ok(started), Err(error)) | (Err(error), Ok(started)) => {
                // Why the other did not start is what the reader needs; that this one would not end comes second.
                if let Err(error) = started.stop() {
                    progress(&error.to_string());
                }
                Err(error.into())
            }
            (Err(error), Err(_)) => Err(error.into()),
        }
    }

    fn stop(self) -> Done {
        let (first, second) = (self.first.stop(), self.second.stop());
        first?;
        Ok(second?)
    }
}

fn tests(root: &Path, filter: &Option<String>, environment: &[(&str, String)], cluster: &kube::Cluster) -> Done {
    step("tests");
    let nextest = Command::new(cargo_program()).args(["nextest", "--version"]).output();
    let has_nextest = nextest.is_ok_and(|output| output.status.success());
    match (filter, has_nextest) {
        (Some(filter), true) => {
            return cargo(root, &["nextest", "run", "--workspace", "--no-fail-fast", "-E", filter], environment);
        }
        (Some(_), false) => {
            return Err(TaskError::new("a filter needs cargo-nextest: cargo install cargo-nextest --locked"));
        }
        (None, true) => {
            // One more than there are cores: many tests wait for a time to pass, or for another process.
            let threads = std::thread::available_parallelism().map_or(2, usize::from) + 1;
            let threads = format!("--test-threads={threads}");
            cargo(root, &["nextest", "run", "--workspace", "--no-fail-fast", &threads], environment)?;
        }
        (None, false) => {
            cargo(root, &["test", "--workspace", "--lib", "--bins", "--tests", "--no-fail-fast"], environment)?;
        }
    }
    step("documentation tests");
    cargo(root, &["test", "--workspace", "--doc"], &[])?;
    step("demo");
    let demo = Command::new(program("xtask")?)
        .args(["demo", "--once"])
        .env("KUBECONFIG", &cluster.kubeconfig)
        .current_dir(root)
        .status();
    if !demo.tried("running the demo")?.success() {
        return Err(TaskError::new("the demo failed; what it said stands above"));
    }
    step("clippy");
    cargo(root, &["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"], &[])
}

/// The small checks.
pub(crate) fn tidy() -> Done {
    check_tidy(&root()?)?;
    line("Tidy.");
    Ok(())
}

fn check_tidy(root: &Path) -> Done {
    tidy::run(root).map_err(|found| TaskError::new(format!("not tidy:\n  {}", found.join("\n  "))))
}

/// The Kubernetes for tests, by hand.
pub(crate) fn kube(task: KubeTask) -> Done {
    match task {
        KubeTask::Up { name, api_server_arguments, json } => {
            let cluster = kube::up(&name, &api_server_arguments, &progress)?;
            line(&if json { serde_json::json!(cluster).to_string() } else { cluster.to_string() });
        }
        KubeTask::Down { name } => match kube::down(&name)? {
            true => line(&format!("{name} has ended.")),
            false => line(&format!("{name} was not running.")),
        },
        KubeTask::Status => kube::status()?.iter().for_each(|text| line(text)),
    }
    Ok(())
}

/// Writes the API's description into the server's folder, which carries it.
pub(crate) fn openapi() -> Done {
    let path = root()?.join("crates/kv-server/openapi.json");
    let text = kv_server::api::openapi::text().tried("writing the API's description")?;
    std::fs::write(&path, text).tried(&format!("writing {}", path.display()))
}

/// The project's folder.
pub(crate) fn root() -> Done<PathBuf> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(Path::to_owned);
    here.filter(|root| root.join("Cargo.toml").exists())
        .ok_or_else(|| TaskError::new("the project's folder has moved since this was built; run: cargo clean -p xtask"))
}

/// One of the project's programs, beside this one. Also itself by name: a build may have put a new file in this one's place,
/// and what the system then names as the running program is gone.
pub(crate) fn program(name: &str) -> Done<PathBuf> {
    Ok(std::env::current_exe().tried("finding the folder of this program")?.with_file_name(name))
}

/// Runs cargo in the project's folder.
pub(crate) fn cargo(root: &Path, arguments: &[&str], environment: &[(&str, String)]) -> Done {
    let mut command = Command::new(cargo_program());
    command.args(arguments).current_dir(root);
    // What cargo told this program about itself would make it build some crates anew.
    for (name, _) in std::env::vars_os() {
        let keep = ["CARGO_HOME", "CARGO_TARGET_DIR", "CARGO_NET_OFFLINE", "CARGO_BUILD_JOBS", "CARGO_INCREMENTAL"];
        if name.to_str().is_some_and(|name| name.starts_with("CARGO") && !keep.contains(&name)) {
            command.env_remove(name);
        }
    }
    for (name, value) in environment {
        command.env(name, value);
    }
    let status = command.status().tried("running cargo")?;
    if status.success() {
        return Ok(());
    }
    Err(TaskError::new(format!("`cargo {}` failed ({status}); what it said stands above", arguments.join(" "))))
}

fn cargo_program() -> std::ffi::OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

fn step(name: &str) {
    progress(&format!("\n== {name}"));
}
