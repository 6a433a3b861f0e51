// pool is load: N threads, each with goroutines that allocate, hand over and drop buffers as fast as they can, and a
// regular FreeOSMemory so that memory keeps going back to the kernel. Prints what it did as one JSON line at the end.
package main

import (
	"encoding/json"
	"flag"
	"os"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"
)

// worker keeps a ring of live buffers and replaces one per step until the deadline.
func worker(seed uint64, live int, deadline time.Time, allocated *atomic.Uint64) {
	ring := make([][]byte, live)
	state := seed*2862933555777941757 + 3037000493
	var bytes uint64
	for i := 0; ; i++ {
		if i&255 == 0 && time.Now().After(deadline) {
			break
		}
		state ^= state << 13
		state ^= state >> 7
		state ^= state << 17
		size := 64 << (state % 11)
		buffer := make([]byte, size)
		for at := 0; at < size; at += 4096 {
			buffer[at] = 1
		}
		ring[i%live] = buffer
		bytes += uint64(size)
	}
	allocated.Add(bytes)
	runtime.KeepAlive(ring)
}

// releaseLoop gives idle memory back every period until done.
func releaseLoop(period time.Duration, done <-chan struct{}) (releases int) {
	if period <= 0 {
		<-done
		return 0
	}
	ticker := time.NewTicker(period)
	defer ticker.Stop()
	for {
		select {
		case <-done:
			return releases
		case <-ticker.C:
			debug.FreeOSMemory()
			releases++
		}
	}
}

func main() {
	duration := flag.Duration("d", 10*time.Second, "how long to run")
	threads := flag.Int("threads", runtime.NumCPU(), "threads running Go code")
	goroutines := flag.Int("goroutines", 16, "goroutines per thread")
	live := flag.Int("live", 256, "live buffers per goroutine")
	release := flag.Duration("release", 100*time.Millisecond, "period of FreeOSMemory, 0 for never")
	flag.Parse()

	runtime.GOMAXPROCS(*threads)
	deadline := time.Now().Add(*duration)
	var allocated atomic.Uint64
	var group sync.WaitGroup
	for g := 0; g < *threads**goroutines; g++ {
		group.Add(1)
		go func(g int) {
			defer group.Done()
			worker(uint64(g)+1, *live, deadline, &allocated)
		}(g)
	}
	done := make(chan struct{})
	go func() {
		group.Wait()
		close(done)
	}()
	releases := releaseLoop(*release, done)
	_ = json.NewEncoder(os.Stdout).Encode(map[string]any{
		"pid": os.Getpid(), "allocated_bytes": allocated.Load(), "releases": releases, "goroutines": *threads * *goroutines,
	})
}
