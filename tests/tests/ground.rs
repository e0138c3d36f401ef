//! The ground that the other tests stand on: pods that run in the Kubernetes for tests, reached by the real kubectl, helm and
//! Python client directly. Never here: the server – what fails here is not its fault.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot have its world has failed"
)]

use serde_json::json;
use std::{
    ffi::OsString,
    io::Write,
    process::{Command, Output, Stdio},
};

fn from_environment(name: &str) -> OsString {
    std::env::var_os(name).unwrap_or_else(|| panic!("{name} is not set; run the tests with `cargo xtask test`"))
}

/// A namespace of the test's own in the second cluster.
struct Ground {
    namespace: String,
}

impl Ground {
    /// With one pod for each image, named after its last word.
    fn with_pods(name: &str, images: &[&str]) -> Self {
        let ground = Self { namespace: format!("{name}-{}", std::process::id()) };
        ground.kubectl(&["create", "namespace", &ground.namespace], "");
        for image in images {
            let pod = json!({
                "apiVersion": "v1", "kind": "Pod", "metadata": {"name": image.rsplit('/').next()},
                "spec": {"containers": [{"name": "main", "image": image}]},
            });
            ground.kubectl(&["create", "-f", "-"], &pod.to_string());
        }
        ground.kubectl(&["wait", "--for=condition=Ready", "pods", "--all", "--timeout=30s"], "");
        ground
    }

    fn program(&self, name: &str) -> Command {
        let mut command = Command::new(from_environment(name));
        command.env("KUBECONFIG", from_environment("KUBEVISION_TEST_KUBECONFIG_B"));
        command
    }

    fn try_kubectl(&self, arguments: &[&str], input: &str) -> Output {
        let mut command = self.program("KUBEVISION_TEST_KUBECTL");
        run(command.args(["--namespace", &self.namespace]).args(arguments), input)
    }

    /// What kubectl says; and it must succeed.
    fn kubectl(&self, arguments: &[&str], input: &str) -> String {
        said(&self.try_kubectl(arguments, input))
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        self.try_kubectl(&["delete", "namespace", &self.namespace, "--wait=false"], "");
    }
}

fn run(command: &mut Command, input: &str) -> Output {
    let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = piped.spawn().expect("the program starts");
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

fn said(output: &Output) -> String {
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{}: {out}{err}", output.status);
    out.into_owned()
}

#[test]
fn pods_run_and_kubectl_reaches_them() {
    let ground = Ground::with_pods("ground-kubectl", &["kubevision.test/clock", "kubevision.test/twice"]);
    assert_eq!(ground.kubectl(&["exec", "-i", "clock", "--", "cat"], "through the pod"), "through the pod");
    let failed = ground.try_kubectl(&["exec", "clock", "--", "sh", "-c", "exit 7"], "");
    assert_eq!(failed.status.code(), Some(7));
    assert_eq!(ground.kubectl(&["logs", "twice", "--previous"], ""), "started, and ended with 1\n");
    assert!(ground.kubectl(&["logs", "clock"], "").starts_with("started\n"));
    assert_eq!(ground.kubectl(&["attach", "-i", "-q", "twice"], "a line\n"), "a line\n");

    let folder = tempfile::tempdir().unwrap();
    let (there, back) = (folder.path().join("there"), folder.path().join("back"));
    std::fs::write(&there, "copied").unwrap();
    ground.kubectl(&["cp", there.to_str().unwrap(), "clock:file"], "");
    ground.kubectl(&["cp", "clock:file", back.to_str().unwrap()], "");
    assert_eq!(std::fs::read_to_string(&back).unwrap(), "copied");
}

#[test]
fn the_end_of_a_pod_is_the_end_of_what_it_runs() {
    let ground = Ground::with_pods("ground-end", &["kubevision.test/clock"]);
    let mut command = ground.program("KUBEVISION_TEST_KUBECTL");
    command.args([
        "--namespace",
        &ground.namespace,
        "exec",
        "clock",
        "--",
        "sh",
        "-c",
        "echo begun; sleep 60 & sleep 60",
    ]);
    let mut endless = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut begun = [0; 6];
    std::io::Read::read_exact(endless.stdout.as_mut().unwrap(), &mut begun).unwrap();
    assert_eq!(&begun, b"begun\n");
    ground.kubectl(&["delete", "pod", "clock", "--timeout=10s"], "");
    // 128 + SIGKILL. A minute later it would have ended by itself, with 0.
    assert_eq!(endless.wait().unwrap().code(), Some(137));
}

#[test]
fn websockets_reach_pods_too() {
    let ground = Ground::with_pods("ground-websocket", &["kubevision.test/echo"]);
    let script = format!(
        "
from kubernetes import client, config
from kubernetes.stream import portforward, stream
config.load_kube_config()
core = client.CoreV1Api()
where = ('echo', '{}')
said = stream(core.connect_get_namespaced_pod_exec, *where, command=['sh', '-c', 'echo out; echo err >&2; exit 3'],
              stdin=False, stdout=True, stderr=True, tty=False, _preload_content=False)
said.run_forever(timeout=20)
print(said.read_stdout().strip(), said.read_stderr().strip(), said.returncode)
socket = portforward(core.connect_get_namespaced_pod_portforward, *where, ports='80').socket(80)
socket.setblocking(True)
socket.sendall(b'back')
print(socket.recv(10).decode())
",
        ground.namespace
    );
    let python = run(ground.program("KUBEVISION_TEST_PYTHON").arg("-"), &script);
    assert_eq!(said(&python), "out err 3\nback\n");
}

#[test]
fn helm_is_there() {
    let ground = Ground::with_pods("ground-helm", &["example.invalid/any"]);
    let list = run(ground.program("KUBEVISION_TEST_HELM").args(["list", "--namespace", &ground.namespace, "-q"]), "");
    assert_eq!(said(&list), "");
}
