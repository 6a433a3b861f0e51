// demo is a small service in miniature: every cycle a burst of requests builds a few hundred megabytes of mixed
// objects, most of them are dropped and given back to the kernel, the next burst takes part of them straight back,
// and then the service idles. It listens on nothing and runs until SIGTERM or SIGINT.
package main

import (
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"sync"
	"syscall"
	"time"
)

const mib = 1 << 20

// order is what a request leaves behind: a few small objects and one larger body.
type order struct {
	id    int
	lines []string
	body  []byte
	next  *order
}

// handleBurst builds about bytes bytes of orders, every page of them written, and returns them as a list.
func handleBurst(worker, bytes int) *order {
	sizes := [...]int{512, 2 << 10, 9 << 10, 33 << 10, 120 << 10, 700 << 10}
	var head *order
	for i, done := 0, 0; done < bytes; i++ {
		o := &order{id: worker<<20 | i, body: newBody(sizes[i%len(sizes)]), next: head}
		for l := 0; l < 4; l++ {
			o.lines = append(o.lines, fmt.Sprintf("order %d line %d", o.id, l))
		}
		head = o
		done += len(o.body) + 256
	}
	return head
}

// newBody allocates a body and writes to each of its pages.
//
//go:noinline
func newBody(size int) []byte {
	body := make([]byte, size)
	for i := 0; i < size; i += 4096 {
		body[i] = byte(i)
	}
	return body
}

// burst runs the workers side by side and returns what they built.
func burst(workers, bytes int) []*order {
	built := make([]*order, workers)
	var group sync.WaitGroup
	for w := 0; w < workers; w++ {
		group.Add(1)
		go func(w int) {
			defer group.Done()
			built[w] = handleBurst(w, bytes/workers)
		}(w)
	}
	group.Wait()
	return built
}

// releaseMemory collects garbage and gives all idle spans back to the kernel.
func releaseMemory() {
	debug.FreeOSMemory()
}

// loads are the bursts of successive cycles in percent: after a peak, some of the returned memory is not needed again.
var loads = [...]int{100, 60, 75, 50, 60, 40}

// cycle is one round of the service; kept survives it, as a cache would.
func cycle(megabytes int, idle time.Duration, pause func(time.Duration) bool) (kept []*order, running bool) {
	work := burst(4, megabytes*mib)
	// A slice of work would keep all of it alive.
	kept = []*order{work[0]}
	if !pause(idle / 4) {
		return kept, false
	}
	runtime.KeepAlive(work)
	work = nil
	releaseMemory()
	if !pause(idle / 8) {
		return kept, false
	}
	// The next burst takes about a third of the returned memory straight back.
	again := burst(2, megabytes*mib/3)
	if !pause(idle / 8) {
		return kept, false
	}
	runtime.KeepAlive(again)
	again = nil
	// What is freed without FreeOSMemory stays with the runtime until its own scavenger gives it back.
	runtime.GC()
	return kept, pause(idle / 2)
}

func main() {
	megabytes := flag.Int("megabytes", 200, "heap of one burst in MiB")
	idle := flag.Duration("idle", 3*time.Second, "idle time of one cycle")
	flag.Parse()

	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM, syscall.SIGINT)
	pause := func(d time.Duration) bool {
		select {
		case <-stop:
			return false
		case <-time.After(d):
			return true
		}
	}
	fmt.Println("ready", os.Getpid())
	var kept []*order
	for i, running := 0, true; running; i++ {
		kept = nil
		kept, running = cycle(*megabytes*loads[i%len(loads)]/100, *idle, pause)
		runtime.KeepAlive(kept)
	}
}
