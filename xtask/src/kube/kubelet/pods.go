// The pods of the kubelet for tests: bound to the node, started, told about, ended. Never here: what is served over HTTP.
package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/klog/v2"
)

// address is the node's, and every pod's.
const address = "127.0.0.1"

// pods is everything that runs.
type pods struct {
	client kubernetes.Interface
	folder string
	lock   sync.Mutex
	// By namespace and name, as the API server names them; the pod's uid tells one from its namesake before it.
	running map[string]*pod
}

// pod is one that runs: its folder, the logs of its containers' main processes, and what `exec` started in it.
type pod struct {
	spec    *v1.Pod
	folder  string
	logs    map[string]*output
	ended   chan struct{}
	lock    sync.Mutex
	started map[int]bool
}

func newPods(client kubernetes.Interface, folder string) *pods {
	return &pods{client: client, folder: folder, running: map[string]*pod{}}
}

// run follows all pods of the cluster. It does not return.
func (p *pods) run() {
	again := workqueue.NewItemExponentialFailureRateLimiter(5*time.Millisecond, 2*time.Second)
	queue := workqueue.NewRateLimitingQueue(again)
	factory := informers.NewSharedInformerFactory(p.client, 0)
	informer := factory.Core().V1().Pods().Informer()
	add := func(object interface{}) {
		if key, err := cache.DeletionHandlingMetaNamespaceKeyFunc(object); err == nil {
			queue.Add(key)
		}
	}
	informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: add, DeleteFunc: add, UpdateFunc: func(_, object interface{}) { add(object) },
	})
	forever := make(chan struct{})
	factory.Start(forever)
	factory.WaitForCacheSync(forever)
	work := func() {
		for {
			key, _ := queue.Get()
			object, exists, err := informer.GetIndexer().GetByKey(key.(string))
			if err == nil {
				known, _ := object.(*v1.Pod)
				err = p.settle(key.(string), known, exists)
			}
			if err != nil && !errors.IsNotFound(err) && !errors.IsConflict(err) {
				klog.Errorf("pod %s: %v", key, err)
			}
			if err != nil {
				queue.AddRateLimited(key)
			} else {
				queue.Forget(key)
			}
			queue.Done(key)
		}
	}
	for i := 0; i < 3; i++ {
		go work()
	}
	work()
}

// settle does the one thing that is next for a pod.
func (p *pods) settle(key string, known *v1.Pod, exists bool) error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if current := p.find(key); current != nil && (!exists || current.spec.UID != known.UID) {
		p.end(key, current)
	}
	if !exists {
		return nil
	}
	api := p.client.CoreV1().Pods(known.Namespace)
	switch {
	case known.Spec.NodeName == "":
		if known.Spec.SchedulerName != v1.DefaultSchedulerName || known.DeletionTimestamp != nil {
			return nil
		}
		binding := &v1.Binding{
			ObjectMeta: metav1.ObjectMeta{Namespace: known.Namespace, Name: known.Name, UID: known.UID},
			Target:     v1.ObjectReference{Kind: "Node", Name: node},
		}
		return api.Bind(ctx, binding, metav1.CreateOptions{})
	case known.Spec.NodeName != node:
		return nil
	case known.DeletionTimestamp != nil:
		if current := p.find(key); current != nil {
			p.end(key, current)
		}
		at, uid := int64(0), types.UID(known.UID)
		now := metav1.DeleteOptions{GracePeriodSeconds: &at, Preconditions: &metav1.Preconditions{UID: &uid}}
		err := api.Delete(ctx, known.Name, now)
		if errors.IsNotFound(err) {
			return nil
		}
		return err
	case known.Status.Phase == v1.PodSucceeded || known.Status.Phase == v1.PodFailed:
		return nil
	}
	if p.find(key) == nil {
		if err := p.start(key, known); err != nil {
			return err
		}
	}
	if known.Status.PodIP != "" {
		return nil
	}
	told := known.DeepCopy()
	told.Status = status(known)
	_, err := api.UpdateStatus(ctx, told, metav1.UpdateOptions{})
	return err
}

func (p *pods) find(key string) *pod {
	p.lock.Lock()
	defer p.lock.Unlock()
	return p.running[key]
}

func (p *pods) start(key string, known *v1.Pod) error {
	one := &pod{
		spec: known, folder: filepath.Join(p.folder, string(known.UID)),
		logs: map[string]*output{}, ended: make(chan struct{}), started: map[int]bool{},
	}
	if err := os.MkdirAll(one.folder, 0o700); err != nil {
		return err
	}
	containers := append([]v1.Container{}, known.Spec.InitContainers...)
	for _, container := range append(containers, known.Spec.Containers...) {
		log := newOutput()
		one.logs[container.Name] = log
		log.write("started")
		if word(container) == "clock" {
			go tick(log, one.ended)
		}
	}
	p.lock.Lock()
	defer p.lock.Unlock()
	p.running[key] = one
	return nil
}

func tick(log *output, ended chan struct{}) {
	for count := 1; ; count++ {
		select {
		case <-ended:
			return
		case now := <-time.After(100 * time.Millisecond):
			log.write(fmt.Sprintf("tick %d at %s", count, now.UTC().Format("15:04:05.000")))
		}
	}
}

// end ends what runs in a pod, and removes its folder.
func (p *pods) end(key string, one *pod) {
	p.lock.Lock()
	if p.running[key] == one {
		delete(p.running, key)
		close(one.ended)
	}
	p.lock.Unlock()
	for _, log := range one.logs {
		log.end()
	}
	one.lock.Lock()
	for pid := range one.started {
		// Each leads a process group, so that what it started ends too.
		syscall.Kill(-pid, syscall.SIGKILL)
	}
	one.lock.Unlock()
	if err := os.RemoveAll(one.folder); err != nil {
		klog.Errorf("pod %s: its folder stays: %v", key, err)
	}
}

// word is what a container's image says that it is to do.
func word(container v1.Container) string {
	image := strings.TrimPrefix(container.Image, "kubevision.test/")
	if image == container.Image {
		return ""
	}
	return strings.SplitN(image, ":", 2)[0]
}

// status tells that everything runs, or is done.
func status(known *v1.Pod) v1.PodStatus {
	now := metav1.Now()
	told := v1.PodStatus{
		Phase: v1.PodRunning, HostIP: address, PodIP: address, PodIPs: []v1.PodIP{{IP: address}}, StartTime: &now,
		QOSClass: known.Status.QOSClass,
	}
	exited := func(code int32) *v1.ContainerStateTerminated {
		reason := map[bool]string{true: "Completed", false: "Error"}[code == 0]
		return &v1.ContainerStateTerminated{ExitCode: code, Reason: reason, StartedAt: now, FinishedAt: now}
	}
	one := func(container v1.Container, done bool) v1.ContainerStatus {
		yes := !done
		one := v1.ContainerStatus{
			Name: container.Name, Image: container.Image, ImageID: container.Image, Ready: true, Started: &yes,
			ContainerID: fmt.Sprintf("none://%s-%s", known.UID, container.Name),
		}
		if done {
			one.State.Terminated = exited(0)
		} else {
			one.State.Running = &v1.ContainerStateRunning{StartedAt: now}
		}
		if word(container) == "twice" {
			one.RestartCount, one.LastTerminationState.Terminated = 1, exited(1)
		}
		return one
	}
	for _, container := range known.Spec.InitContainers {
		told.InitContainerStatuses = append(told.InitContainerStatuses, one(container, true))
	}
	done := 0
	for _, container := range known.Spec.Containers {
		ends := word(container) == "done"
		state := one(container, ends)
		if ends {
			done, state.Ready = done+1, false
		}
		told.ContainerStatuses = append(told.ContainerStatuses, state)
	}
	ready := v1.ConditionTrue
	if done > 0 {
		ready = v1.ConditionFalse
	}
	if done == len(known.Spec.Containers) {
		told.Phase = v1.PodSucceeded
	}
	condition := func(kind v1.PodConditionType, state v1.ConditionStatus) v1.PodCondition {
		return v1.PodCondition{Type: kind, Status: state, LastTransitionTime: now}
	}
	told.Conditions = []v1.PodCondition{
		condition(v1.PodInitialized, v1.ConditionTrue), condition(v1.PodReady, ready),
		condition(v1.ContainersReady, ready), condition(v1.PodScheduled, v1.ConditionTrue),
	}
	return told
}
