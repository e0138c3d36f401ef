// What a main process has written, line by line, kept for logs and passed on to those who follow. Never here: where it goes.
package main

import (
	"io"
	"sync"
	"time"
)

type line struct {
	at   time.Time
	text string
}

// output only grows, until it ends.
type output struct {
	lock  sync.Mutex
	lines []line
	over  bool
	// Closed, and another put in its place, at each change.
	changed chan struct{}
}

func newOutput() *output {
	return &output{changed: make(chan struct{})}
}

func (o *output) write(text string) {
	o.change(func() { o.lines = append(o.lines, line{time.Now(), text}) })
}

func (o *output) end() {
	o.change(func() { o.over = true })
}

func (o *output) change(how func()) {
	o.lock.Lock()
	defer o.lock.Unlock()
	how()
	close(o.changed)
	o.changed = make(chan struct{})
}

// state gives all lines, whether there will be more, and what to wait for.
func (o *output) state() ([]line, bool, chan struct{}) {
	o.lock.Lock()
	defer o.lock.Unlock()
	return o.lines, o.over, o.changed
}

// follow writes every line from number `next` on, until the output is over, `stop` is closed, or the reader is gone. After
// `stop` it still writes what is there.
func (o *output) follow(next int, stop <-chan struct{}, to io.Writer, form func(line) string) {
	for stopped := false; ; {
		lines, over, changed := o.state()
		for ; next < len(lines); next++ {
			if _, err := io.WriteString(to, form(lines[next])); err != nil {
				return
			}
		}
		if over || stopped {
			return
		}
		select {
		case <-changed:
		case <-stop:
			stopped = true
		}
	}
}
