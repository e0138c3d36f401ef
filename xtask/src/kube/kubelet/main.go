// A kubelet and a scheduler for the Kubernetes for tests, in one program and without containers.
//
// Every pending pod is bound to its one node and becomes Running and Ready at once, with a folder of its own. What the API
// server asks a kubelet for – logs, exec, attach, port-forward – is answered with Kubernetes' own streaming code, SPDY and
// WebSocket, and is real: `exec` runs the command on this machine, in the pod's folder, on a terminal if one is asked for.
// A deleted pod is gone at once, with its folder and every process that was started for it.
//
// The word after `kubevision.test/` in a container's image says what its main process does:
//
//	clock  writes a line every 100 ms
//	twice  has ended once with exit code 1, so that there is a previous log and a restart on record
//	done   ends with exit code 0, and its pod becomes Succeeded
//	echo   answers every port-forward of its pod with what it is sent
//
// With any other image it writes the line "started". Whoever attaches with an input sees each line come back, and it is in the
// log too. A port-forward goes to the port of 127.0.0.1, whoever listens there. A pod with a schedulerName of its own stays
// Pending. An absolute path in a command or a `kubectl cp` is one of this machine: name files relative to the pod's folder.
//
// Never here: a container, an image fetched, a probe, a volume, an address but 127.0.0.1, a request served to anyone but the
// API server – it shows a certificate that the cluster's CA has signed for nobody else.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"
)

// node is the name of the only node.
const node = "node-1"

func main() {
	kubeconfig := flag.String("kubeconfig", "", "how to reach the API server")
	port := flag.Int("port", 0, "where on 127.0.0.1 to serve the API server")
	folder := flag.String("folder", "", "has ca.crt, kubelet.crt and kubelet.key; the pods' folders are made in it")
	flag.Parse()

	config, err := clientcmd.BuildConfigFromFlags("", *kubeconfig)
	must("read the kubeconfig", err)
	// Tests make many pods at once, and would wait for the usual five requests a second.
	config.QPS, config.Burst = 500, 1000
	client, err := kubernetes.NewForConfig(config)
	must("make a client", err)

	pods := newPods(client, filepath.Join(*folder, "pods"))
	server := &http.Server{
		Handler: pods.routes(),
		// Streams change hands from HTTP/1.1, so there must be no HTTP/2.
		TLSNextProto: map[string]func(*http.Server, *tls.Conn, http.Handler){},
		TLSConfig:    onlyTheAPIServer(filepath.Join(*folder, "ca.crt")),
	}
	// Before the node is known, as whoever sees it may ask at once.
	listener, err := net.Listen("tcp", fmt.Sprintf("%s:%d", address, *port))
	must("listen", err)
	go func() {
		certificate, key := filepath.Join(*folder, "kubelet.crt"), filepath.Join(*folder, "kubelet.key")
		must("serve", server.ServeTLS(listener, certificate, key))
	}()
	go keepNode(client, int32(*port))
	pods.run()
}

func must(what string, err error) {
	if err != nil {
		fmt.Fprintf(os.Stderr, "could not %s: %v\n", what, err)
		os.Exit(1)
	}
}

// onlyTheAPIServer demands a client certificate of the cluster's CA. There is one, and the CA's key is gone.
func onlyTheAPIServer(file string) *tls.Config {
	pem, err := os.ReadFile(file)
	must("read the cluster's CA", err)
	authority := x509.NewCertPool()
	if !authority.AppendCertsFromPEM(pem) {
		must("read the cluster's CA", fmt.Errorf("no certificate in %s", file))
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, ClientCAs: authority, ClientAuth: tls.RequireAndVerifyClientCert}
}

// keepNode registers the node, and again when somebody has deleted it, and says every few seconds that it is ready.
func keepNode(client kubernetes.Interface, port int32) {
	for {
		pause := 3 * time.Second
		if err := tellNode(client, port); err != nil {
			// Often it is no more than a controller that has written to the node meanwhile.
			klog.Errorf("could not tell about the node: %v", err)
			pause = 100 * time.Millisecond
		}
		time.Sleep(pause)
	}
}

func tellNode(client kubernetes.Interface, port int32) error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	nodes := client.CoreV1().Nodes()
	known, err := nodes.Get(ctx, node, metav1.GetOptions{})
	if err != nil {
		labels := map[string]string{v1.LabelHostname: node, v1.LabelOSStable: "linux", v1.LabelArchStable: "amd64"}
		made := &v1.Node{ObjectMeta: metav1.ObjectMeta{Name: node, Labels: labels}}
		if known, err = nodes.Create(ctx, made, metav1.CreateOptions{}); err != nil {
			return err
		}
	}
	if len(known.Spec.Taints) > 0 {
		// A new node is given "not ready", and what takes that away does not run in this cluster.
		known.Spec.Taints = nil
		if known, err = nodes.Update(ctx, known, metav1.UpdateOptions{}); err != nil {
			return err
		}
	}
	room := v1.ResourceList{
		v1.ResourceCPU:    resource.MustParse("8"),
		v1.ResourceMemory: resource.MustParse("16Gi"),
		v1.ResourcePods:   resource.MustParse("500"),
	}
	since := known.CreationTimestamp
	known.Status = v1.NodeStatus{
		Capacity:    room,
		Allocatable: room,
		Addresses: []v1.NodeAddress{
			{Type: v1.NodeInternalIP, Address: address},
			{Type: v1.NodeHostName, Address: node},
		},
		DaemonEndpoints: v1.NodeDaemonEndpoints{KubeletEndpoint: v1.DaemonEndpoint{Port: port}},
		NodeInfo: v1.NodeSystemInfo{
			KubeletVersion: "v1.20.2", OSImage: "none", OperatingSystem: "linux", Architecture: "amd64",
			ContainerRuntimeVersion: "none://1",
		},
		Conditions: []v1.NodeCondition{{
			Type: v1.NodeReady, Status: v1.ConditionTrue, Reason: "KubeletReady", Message: "the kubelet for tests is ready",
			LastHeartbeatTime: metav1.Now(), LastTransitionTime: since,
		}},
	}
	_, err = nodes.UpdateStatus(ctx, known, metav1.UpdateOptions{})
	return err
}
