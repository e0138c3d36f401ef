// What the API server asks a kubelet for: logs, exec, attach, port-forward. Never here: who may ask, which the listener has
// seen to.
package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/containerd/console"
	"k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	consts "k8s.io/apimachinery/pkg/util/remotecommand"
	terminal "k8s.io/client-go/tools/remotecommand"
	"k8s.io/kubernetes/pkg/kubelet/cri/streaming/portforward"
	"k8s.io/kubernetes/pkg/kubelet/cri/streaming/remotecommand"
	utilexec "k8s.io/utils/exec"
)

// How long a stream may be idle, and how long its making may take.
const idle, patience = 4 * time.Hour, 30 * time.Second

// routes are the kubelet's addresses: /{what}/{namespace}/{pod}/{container}, the last not for port-forwards.
func (p *pods) routes() http.Handler {
	mux := http.NewServeMux()
	serve := func(what string, how func(http.ResponseWriter, *http.Request, *pod, string)) {
		mux.HandleFunc("/"+what+"/", func(w http.ResponseWriter, r *http.Request) {
			parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
			if len(parts) < 3 {
				http.Error(w, "no pod named", http.StatusBadRequest)
				return
			}
			one, container := p.find(parts[1]+"/"+parts[2]), ""
			if len(parts) > 3 {
				container = parts[3]
			}
			if one == nil || (container != "" && one.logs[container] == nil) {
				message := fmt.Sprintf("pod %s/%s does not run here, or has no container %q", parts[1], parts[2], container)
				http.Error(w, message, http.StatusNotFound)
				return
			}
			how(w, r, one, container)
		})
	}
	serve("containerLogs", serveLogs)
	serve("exec", func(w http.ResponseWriter, r *http.Request, one *pod, container string) {
		if options := wanted(w, r); options != nil {
			remotecommand.ServeExec(w, r, one, one.spec.Name, one.spec.UID, container, r.URL.Query()["command"], options,
				idle, patience, consts.SupportedStreamingProtocols)
		}
	})
	serve("attach", func(w http.ResponseWriter, r *http.Request, one *pod, container string) {
		if options := wanted(w, r); options != nil {
			remotecommand.ServeAttach(w, r, one, one.spec.Name, one.spec.UID, container, options,
				idle, patience, consts.SupportedStreamingProtocols)
		}
	})
	serve("portForward", func(w http.ResponseWriter, r *http.Request, one *pod, _ string) {
		options, err := portforward.NewV4Options(r)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		portforward.ServePortForward(w, r, one, one.spec.Name, one.spec.UID, options, idle, patience, portforward.SupportedProtocols)
	})
	return mux
}

// wanted is which streams a request asks for; without any it is answered.
func wanted(w http.ResponseWriter, r *http.Request) *remotecommand.Options {
	options, err := remotecommand.NewOptions(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return nil
	}
	return options
}

func serveLogs(w http.ResponseWriter, r *http.Request, one *pod, container string) {
	query := r.URL.Query()
	yes := func(name string) bool { return query.Get(name) == "true" || query.Get(name) == "1" }
	log := one.logs[container]
	if yes("previous") {
		if word(one.container(container)) != "twice" {
			http.Error(w, fmt.Sprintf("previous terminated container %q not found", container), http.StatusBadRequest)
			return
		}
		log = newOutput()
		log.write("started, and ended with 1")
		log.end()
	}
	lines, _, _ := log.state()
	first := 0
	if tail, err := strconv.Atoi(query.Get("tailLines")); err == nil && tail < len(lines) {
		first = len(lines) - tail
	}
	since, err := time.Parse(time.RFC3339, query.Get("sinceTime"))
	if seconds, wrong := strconv.Atoi(query.Get("sinceSeconds")); wrong == nil {
		since, err = time.Now().Add(-time.Duration(seconds)*time.Second), nil
	}
	for err == nil && first < len(lines) && lines[first].at.Before(since) {
		first++
	}
	out := &flushed{w, -1}
	if limit, err := strconv.ParseInt(query.Get("limitBytes"), 10, 64); err == nil {
		out.left = limit
	}
	stop := make(chan struct{})
	if yes("follow") {
		go func() { <-r.Context().Done(); close(stop) }()
	} else {
		close(stop)
	}
	w.Header().Set("Content-Type", "text/plain")
	w.WriteHeader(http.StatusOK)
	out.Write(nil)
	log.follow(first, stop, out, func(one line) string {
		if yes("timestamps") {
			return one.at.UTC().Format(time.RFC3339Nano) + " " + one.text + "\n"
		}
		return one.text + "\n"
	})
}

// flushed sends everything at once, and no more than `left` bytes unless that is negative.
type flushed struct {
	to   http.ResponseWriter
	left int64
}

func (f *flushed) Write(data []byte) (int, error) {
	over := f.left >= 0 && int64(len(data)) >= f.left
	if over {
		data = data[:f.left]
	}
	n, err := f.to.Write(data)
	f.to.(http.Flusher).Flush()
	if over && err == nil {
		err = io.ErrShortWrite
	}
	if f.left >= 0 {
		f.left -= int64(n)
	}
	return n, err
}

func (p *pod) container(name string) v1.Container {
	for _, container := range p.spec.Spec.Containers {
		if container.Name == name {
			return container
		}
	}
	return v1.Container{}
}

// ExecInContainer runs a command in the pod's folder.
func (p *pod) ExecInContainer(_ string, _ types.UID, container string, words []string, in io.Reader,
	out, err io.WriteCloser, tty bool, resize <-chan terminal.TerminalSize, _ time.Duration) error {
	if len(words) == 0 {
		return fmt.Errorf("no command")
	}
	command := exec.Command(words[0], words[1:]...)
	command.Dir = p.folder
	command.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + p.folder, "HOSTNAME=" + p.spec.Name, "TERM=xterm"}
	for _, variable := range p.container(container).Env {
		if variable.ValueFrom == nil {
			command.Env = append(command.Env, variable.Name+"="+variable.Value)
		}
	}
	if tty {
		return p.onTerminal(command, in, out, resize)
	}
	// A group of its own, to be ended with all it started.
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	command.Stdout, command.Stderr = writer(out), writer(err)
	if in != nil {
		// Not `Stdin`: waiting for the command would then be waiting for its input to end, too.
		pipe, failed := command.StdinPipe()
		if failed != nil {
			return failed
		}
		go func() { io.Copy(pipe, in); pipe.Close() }()
	}
	return p.wait(command, func() {})
}

// writer keeps "none" from becoming a writer that is none.
func writer(to io.WriteCloser) io.Writer {
	if to == nil {
		return io.Discard
	}
	return to
}

func (p *pod) onTerminal(command *exec.Cmd, in io.Reader, out io.Writer, resize <-chan terminal.TerminalSize) error {
	ours, name, err := console.NewPty()
	if err != nil {
		return err
	}
	defer ours.Close()
	theirs, err := os.OpenFile(name, os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		return err
	}
	command.Stdin, command.Stdout, command.Stderr = theirs, theirs, theirs
	command.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	go func() {
		for size := range resize {
			ours.Resize(console.WinSize{Height: size.Height, Width: size.Width})
		}
	}()
	written := make(chan struct{})
	begun := func() {
		theirs.Close()
		if in != nil {
			go io.Copy(ours, in)
		}
		go func() { io.Copy(out, ours); close(written) }()
	}
	err = p.wait(command, begun)
	select {
	case <-written:
	case <-time.After(time.Second):
		// Something it left behind has the terminal still.
	}
	return err
}

// wait runs a command until it ends, and gives its exit code as the streaming code wants it.
func (p *pod) wait(command *exec.Cmd, begun func()) error {
	// "With its parent" means the thread that started it, which must therefore stay.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	command.SysProcAttr.Pdeathsig = syscall.SIGKILL
	p.lock.Lock()
	select {
	case <-p.ended:
		p.lock.Unlock()
		return fmt.Errorf("the pod has ended")
	default:
	}
	if err := command.Start(); err != nil {
		p.lock.Unlock()
		return err
	}
	pid := command.Process.Pid
	p.started[pid] = true
	p.lock.Unlock()
	begun()
	err := command.Wait()
	p.lock.Lock()
	delete(p.started, pid)
	p.lock.Unlock()
	if exit, ok := err.(*exec.ExitError); ok {
		code := exit.ExitCode()
		if state, ok := exit.Sys().(syscall.WaitStatus); ok && state.Signaled() {
			code = 128 + int(state.Signal())
		}
		return utilexec.CodeExitError{Err: err, Code: code}
	}
	return err
}

// AttachContainer passes on what the main process writes from now on. A line that comes in is written by the main process;
// the end of the input is the end of the stream.
func (p *pod) AttachContainer(_ string, _ types.UID, container string, in io.Reader,
	out, _ io.WriteCloser, tty bool, _ <-chan terminal.TerminalSize) error {
	log, ending := p.logs[container], "\n"
	if tty {
		ending = "\r\n"
	}
	lines, _, _ := log.state()
	stop := make(chan struct{})
	if in != nil {
		go func() {
			defer close(stop)
			scanner := bufio.NewScanner(in)
			scanner.Split(byEitherEnding)
			for scanner.Scan() {
				log.write(scanner.Text())
			}
		}()
	}
	log.follow(len(lines), stop, writer(out), func(one line) string { return one.text + ending })
	return nil
}

// byEitherEnding splits at line feeds, and at the carriage returns of a terminal's enter key.
func byEitherEnding(data []byte, atEnd bool) (int, []byte, error) {
	if at := strings.IndexAny(string(data), "\r\n"); at >= 0 {
		return at + 1, data[:at], nil
	}
	if atEnd && len(data) > 0 {
		return len(data), data, nil
	}
	return 0, nil, nil
}

// PortForward carries bytes to the port of 127.0.0.1, or back to where they came from.
func (p *pod) PortForward(_ string, _ types.UID, port int32, stream io.ReadWriteCloser) error {
	for _, container := range p.spec.Spec.Containers {
		if word(container) == "echo" {
			_, err := io.Copy(stream, stream)
			return err
		}
	}
	connection, err := net.Dial("tcp", net.JoinHostPort(address, strconv.Itoa(int(port))))
	if err != nil {
		return err
	}
	defer connection.Close()
	go func() {
		io.Copy(connection, stream)
		connection.(*net.TCPConn).CloseWrite()
	}()
	_, err = io.Copy(stream, connection)
	return err
}
