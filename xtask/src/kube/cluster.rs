//! Clusters by name: brought up, told about, brought down. Never here: what the programs are told (`programs`), how a
//! process is known again (`processes`).
//!
//! A cluster outlives the process that brought it up. Its folder holds its data, keys, logs and record; `down` removes it.

use std::fmt;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::folders::{self, HEARTBEAT};
use super::probe::{Answer, Probe};
use super::processes::Process;
use super::programs::{NODE, Ports, Programs};
use super::state::{self, Record};
use super::{Binaries, KUBELET, KubeError, ensure};

/// How long a cluster may take to come up; it takes about ten seconds on an idle machine.
const PATIENCE: Duration = Duration::from_secs(90);
/// How often a start is tried when another program took a port between its choice and its use.
const TRIES: usize = 3;

/// A running cluster.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Cluster {
    /// Its name.
    pub(crate) name: String,
    /// A kubeconfig for its administrator, for kubectl and client libraries; readable by this user alone.
    pub(crate) kubeconfig: PathBuf,
    /// The API server's address.
    pub(crate) server: String,
    /// The API server's audit log, one JSON object per line and request.
    pub(crate) audit_log: PathBuf,
}

impl Cluster {
    /// Ends the cluster and removes all it kept.
    pub(crate) fn stop(self) -> Result<(), KubeError> {
        down(&self.name).map(|_| ())
    }

    fn at(name: &str, folder: &Path, port: u16) -> Self {
        Self {
            name: name.to_owned(),
            kubeconfig: folder.join("kubeconfig"),
            server: format!("https://127.0.0.1:{port}"),
            audit_log: folder.join("audit.log"),
        }
    }
}

impl fmt::Display for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "cluster    {}", self.name)?;
        writeln!(f, "server     {}", self.server)?;
        writeln!(f, "kubeconfig {}", self.kubeconfig.display())?;
        write!(f, "audit log  {}", self.audit_log.display())
    }
}

/// Brings the cluster `name` up and leaves it running; one that runs and is healthy is answered with as it is.
///
/// Its API server is told `api_server_arguments` on top of what every one is told.
///
/// # Errors
/// Whatever kept it from coming up; and if it runs already, and some other arguments were asked for.
pub(crate) fn up(name: &str, api_server_arguments: &[String], progress: &dyn Fn(&str)) -> Result<Cluster, KubeError> {
    let (folder, lock) = state::folder_and_lock(name)?;
    let binaries = ensure(progress)?;
    let _lock = folders::lock(&lock, progress)?;
    if let Some(record) = Record::load(&folder)? {
        if is_healthy(&folder, &record) {
            if !api_server_arguments.is_empty() && record.api_server_arguments != api_server_arguments {
                return Err(KubeError::OtherArguments { name: name.to_owned() });
            }
            progress(&format!("cluster {name} runs already"));
            return Ok(Cluster::at(name, &folder, record.port));
        }
        progress(&format!("cluster {name} is not healthy any more; starting it anew, empty"));
        record.end()?;
    }
    let mut tries = 1;
    loop {
        let mut start = Start::new(&binaries, &folder, api_server_arguments, progress)?;
        match start.run() {
            Ok(()) => {
                start.say(&format!("cluster {name} is ready"));
                return Ok(Cluster::at(name, &folder, start.record.port));
            }
            Err(error) => {
                start.record.end()?;
                let taken = matches!(&error, KubeError::Died { tail, .. } if tail.contains("address already in use"));
                if !taken || tries == TRIES {
                    return Err(error);
                }
                tries += 1;
                start.say("another program took one of the ports; trying others");
            }
        }
    }
}

/// Ends the cluster `name` and removes all it kept; answers whether there was one.
pub(crate) fn down(name: &str) -> Result<bool, KubeError> {
    let (folder, lock) = state::folder_and_lock(name)?;
    let _lock = folders::lock(&lock, &|_| {})?;
    if let Some(record) = Record::load(&folder)? {
        record.end()?;
    }
    let existed = folder.is_dir();
    folders::remove(&folder)?;
    Ok(existed)
}

/// A table of all clusters, headed by its columns' names.
pub(crate) fn status() -> Result<Vec<String>, KubeError> {
    let line = |name: &str, state: &str, server: &str, kubeconfig: &str| {
        format!("{name:<20} {state:<10} {server:<24} {kubeconfig}").trim_end().to_owned()
    };
    let mut lines = vec![line("NAME", "STATE", "SERVER", "KUBECONFIG")];
    for name in state::names()? {
        let (folder, _) = state::folder_and_lock(&name)?;
        let Some(record) = Record::load(&folder)? else {
            lines.push(line(&name, "stopped", "", ""));
            continue;
        };
        let state = match record.alive() {
            _ if is_healthy(&folder, &record) => "running",
            0 => "stopped",
            _ => "unhealthy",
        };
        let cluster = Cluster::at(&name, &folder, record.port);
        lines.push(line(&name, state, &cluster.server, &cluster.kubeconfig.display().to_string()));
    }
    Ok(lines)
}

fn is_healthy(folder: &Path, record: &Record) -> bool {
    record.is_whole()
        && Probe::new(&folder.join("ca.crt"), record.port)
            .is_ok_and(|probe| probe.get("/readyz", None).is_ok_and(|answer| answer.status == 200))
}

/// One try at starting a cluster.
struct Start<'a> {
    programs: Programs<'a>,
    ports: Ports,
    folder: &'a Path,
    record: Record,
    begun: Instant,
    progress: &'a dyn Fn(&str),
}

impl<'a> Start<'a> {
    fn new(
        binaries: &'a Binaries,
        folder: &'a Path,
        api_server_arguments: &'a [String],
        progress: &'a dyn Fn(&str),
    ) -> Result<Self, KubeError> {
        let ports = free_ports().map_err(KubeError::NoPort)?;
        let record = Record {
            port: ports.api,
            api_server_arguments: api_server_arguments.to_vec(),
            wanted: 3 + usize::from(binaries.kubelet.is_some()),
            processes: Vec::new(),
        };
        let programs = Programs::new(binaries, folder, ports, api_server_arguments);
        Ok(Self { programs, ports, folder, record, begun: Instant::now(), progress })
    }

    fn run(&mut self) -> Result<(), KubeError> {
        folders::remove(self.folder)?;
        folders::private_folder(self.folder)?;
        let token = self.programs.write_files()?;
        let probe = Probe::new(&self.folder.join("ca.crt"), self.ports.api)?;
        let ask = |path: &str| probe.get(path, Some(&token)).map_err(|error| error.to_string()).and_then(ok);

        self.begin("etcd", self.programs.etcd())?;
        let etcd = (Ipv4Addr::LOCALHOST, self.ports.etcd);
        self.wait("etcd", "connection to etcd", || {
            TcpStream::connect(etcd).map(|_| ()).map_err(|error| error.to_string())
        })?;

        self.begin("kube-apiserver", self.programs.kube_apiserver())?;
        self.wait("kube-apiserver", "answer from /readyz", || ask("/readyz").map(|_| ()))?;
        self.wait("kube-apiserver", "namespace default", || ask("/api/v1/namespaces/default").map(|_| ()))?;

        // Not earlier: it gives up when the API server keeps it waiting.
        self.begin("kube-controller-manager", self.programs.kube_controller_manager())?;
        let needs_secrets = self.programs.service_accounts_need_secrets();
        self.wait("kube-controller-manager", "usable service account default", || {
            let account = ask("/api/v1/namespaces/default/serviceaccounts/default")?;
            let account: serde_json::Value = serde_json::from_str(&account).map_err(|error| error.to_string())?;
            // Pods of an account without its secret are refused until the secret is there.
            let usable = !needs_secrets || account["secrets"].as_array().is_some_and(|secrets| !secrets.is_empty());
            usable.then_some(()).ok_or_else(|| "it has no token yet".to_owned())
        })?;
        if let Some(kubelet) = self.programs.kubelet() {
            self.begin(KUBELET, kubelet)?;
            self.wait(KUBELET, "node", || {
                let node = ask(&format!("/api/v1/nodes/{NODE}"))?;
                node.contains("KubeletReady").then_some(()).ok_or_else(|| "it is not ready".to_owned())
            })?;
        }
        Ok(())
    }

    fn begin(&mut self, name: &'static str, mut command: Command) -> Result<(), KubeError> {
        self.say(&format!("starting {name}"));
        let process = Process::start(name, command.current_dir(self.folder), &self.log(name))?;
        self.record.processes.push(process);
        self.record.save(self.folder)
    }

    /// Waits until `ready`, as long as every process started so far lives.
    fn wait(
        &self,
        process: &'static str,
        awaited: &'static str,
        ready: impl Fn() -> Result<(), String>,
    ) -> Result<(), KubeError> {
        let mut said = Instant::now();
        loop {
            let Err(last) = ready() else { return Ok(()) };
            let log = self.log(process);
            if self.record.alive() < self.record.processes.len() {
                return Err(self.died(process));
            }
            if self.begun.elapsed() > PATIENCE {
                let (seconds, tail) = (self.begun.elapsed().as_secs(), folders::tail(&log));
                return Err(KubeError::Slow { awaited, seconds, last, process, log, tail });
            }
            if said.elapsed() >= HEARTBEAT {
                said = Instant::now();
                self.say(&format!("… still waiting for the {awaited}: {last}"));
            }
            thread::sleep(Duration::from_millis(100));
        }
    }

    /// The first process that ended took the others with it or not; it is the one to read about.
    fn died(&self, waited_for: &'static str) -> KubeError {
        let dead = self.record.processes.iter().find(|process| !process.is_alive());
        let names = ["etcd", "kube-apiserver", "kube-controller-manager", KUBELET];
        let process = names.into_iter().find(|name| dead.is_some_and(|dead| dead.name == *name)).unwrap_or(waited_for);
        let log = self.log(process);
        KubeError::Died { process, tail: folders::tail(&log), log }
    }

    fn log(&self, process: &str) -> PathBuf {
        self.folder.join(format!("{process}.log"))
    }

    fn say(&self, text: &str) {
        (self.progress)(&format!("[{:>4} s] {text}", self.begun.elapsed().as_secs()));
    }
}

fn ok(answer: Answer) -> Result<String, String> {
    if answer.status == 200 { Ok(answer.body) } else { Err(format!("HTTP {}", answer.status)) }
}

/// Ports that nobody has at this moment, all held at once so that they differ.
fn free_ports() -> std::io::Result<Ports> {
    let bind = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    let (api, etcd, peer, kubelet) = (bind()?, bind()?, bind()?, bind()?);
    let port = |listener: &TcpListener| listener.local_addr().map(|address| address.port());
    Ok(Ports { api: port(&api)?, etcd: port(&etcd)?, peer: port(&peer)?, kubelet: port(&kubelet)? })
}
