"""One round with Python's client: what it finds out, an object from its making to its end, logs, a command, a port.

Takes a namespace in which a pod `clock` and a pod `echo` run, and prints a line for each step. Everything here is what a user
would write; what is unusual is said.
"""

import json
import sys

from kubernetes import client, config, watch
from kubernetes.stream import portforward, stream

namespace = sys.argv[1]
config.load_kube_config()
core, apps = client.CoreV1Api(), client.AppsV1Api()

# These end with a slash here.
assert "v1" in client.CoreApi().get_api_versions().versions
assert any(group.name == "apps" for group in client.ApisApi().get_api_versions().groups)
assert apps.get_api_resources().resources and client.AppsApi().get_api_group().name == "apps"
assert client.VersionApi().get_code().major == "1"
print("discovered")

labels = {"app": "round"}
container = client.V1Container(name="main", image="kubevision.test/clock")
template = client.V1PodTemplateSpec(
    metadata=client.V1ObjectMeta(labels=labels),
    spec=client.V1PodSpec(containers=[container], termination_grace_period_seconds=0),
)
apps.create_namespaced_deployment(
    namespace,
    client.V1Deployment(
        metadata=client.V1ObjectMeta(name="round"),
        spec=client.V1DeploymentSpec(
            replicas=1, selector=client.V1LabelSelector(match_labels=labels), template=template
        ),
    ),
)


def until_ready(replicas):
    """Watches the deployment until so many of it are ready."""
    watching = watch.Watch()
    for event in watching.stream(apps.list_namespaced_deployment, namespace, timeout_seconds=50):
        if event["object"].metadata.name == "round" and (event["object"].status.ready_replicas or 0) == replicas:
            watching.stop()
            return
    raise AssertionError(f"{replicas} replicas are never ready")


until_ready(1)
apps.patch_namespaced_deployment_scale("round", namespace, {"spec": {"replicas": 2}})
until_ready(2)
assert apps.read_namespaced_deployment_scale("round", namespace).spec.replicas == 2
apps.delete_namespaced_deployment("round", namespace, propagation_policy="Foreground")
print("made, watched, scaled, deleted")

for number in range(5):
    core.create_namespaced_config_map(
        namespace, client.V1ConfigMap(metadata=client.V1ObjectMeta(name=f"page-{number}", labels={"paged": "yes"}))
    )
names, pages, token = [], 0, None
while True:
    page = core.list_namespaced_config_map(namespace, label_selector="paged=yes", limit=2, _continue=token)
    names += [one.metadata.name for one in page.items]
    pages, token = pages + 1, page.metadata._continue
    if not token:
        break
assert names == [f"page-{number}" for number in range(5)] and pages == 3, (names, pages)
core.delete_collection_namespaced_config_map(namespace, label_selector="paged=yes")
print("listed page by page")

lines = []
for line in watch.Watch().stream(core.read_namespaced_pod_log, "clock", namespace, tail_lines=1):
    lines.append(line)
    if len(lines) == 5:
        break
assert core.read_namespaced_pod_log("clock", namespace).startswith("started")
print("followed a log")

said = stream(
    core.connect_get_namespaced_pod_exec, "clock", namespace,
    command=["sh", "-c", "read word; echo out $word; echo err >&2; exit 3"],
    stdin=True, stdout=True, stderr=True, tty=False, _preload_content=False,
)
said.write_stdin("through\n")
said.run_forever(timeout=20)
assert (said.read_stdout(), said.read_stderr(), said.returncode) == ("out through\n", "err\n", 3)
assert stream(core.connect_get_namespaced_pod_exec, "clock", namespace, command=["echo", "hello"], stdout=True) == "hello\n"
print("ran a command")

socket = portforward(core.connect_get_namespaced_pod_portforward, "echo", namespace, ports="80").socket(80)
socket.setblocking(True)
socket.sendall(b"there and back")
assert socket.recv(100) == b"there and back"
socket.close()
print("forwarded a port")

try:
    core.read_namespaced_config_map("none", namespace)
    raise AssertionError("there is no such object")
except client.ApiException as error:
    assert error.status == 404 and json.loads(error.body)["reason"] == "NotFound", error
try:
    core.list_node()
    raise AssertionError("this takes a right")
except client.ApiException as error:
    assert error.status == 403 and "nodes:read" in json.loads(error.body)["message"], error
print("was refused")
