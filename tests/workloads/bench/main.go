// bench is the service that `cargo xtask bench goruntime` looks at: a heap of mixed objects that stays, a handler that
// allocates a little, and beside it the usual ways to ask a Go program about its memory. Loopback only. Prints its
// address when all of it stands; ends with its stdin.
//
//	/work                       what users wait for
//	/debug/pprof/heap?debug=1   net/http/pprof
//	/metrics                    as client_golang 1.12 and later: runtime/metrics
//	/memstats                   as client_golang before that: runtime.ReadMemStats
//	/gc                         runtime.GC
package main

import (
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	_ "net/http/pprof"
	"os"
	"runtime"
	"runtime/debug"
)

const mib = 1 << 20

// The same bytes of each size; without pointers and with.
var sizes = []int{32, 48, 80, 128, 256, 512, 1024, 2048, 4096, 8192}

type node struct {
	next *node
	data []byte
}

var (
	kept      *node
	untouched []*[8192]byte
)

// Allocates from one of many stacks, as a real program does: the path through the two below spells out `path`.
//
//go:noinline
func even(path, depth, size int) *node {
	if depth == 0 {
		return &node{data: make([]byte, size)}
	}
	if path&1 == 0 {
		return even(path>>1, depth-1, size)
	}
	return odd(path>>1, depth-1, size)
}

//go:noinline
func odd(path, depth, size int) *node {
	if depth == 0 {
		return &node{data: make([]byte, size)}
	}
	if path&1 == 0 {
		return even(path>>1, depth-1, size)
	}
	return odd(path>>1, depth-1, size)
}

// Sizes take turns, so that their spans lie mixed.
func fill(bytes int) {
	const stacks = 1 << 8
	left := make([]int, len(sizes))
	for i := range left {
		left[i] = bytes / len(sizes)
	}
	var last *node
	for path, busy := 0, true; busy; path++ {
		busy = false
		for i, size := range sizes {
			for batch := 0; batch < 8192 && left[i] > 0; batch += size {
				n := even(path%stacks, 8, size)
				n.data[0] = 1
				n.next = last
				last = n
				left[i] -= size
				busy = true
			}
		}
	}
	kept = last
}

func work(w http.ResponseWriter, r *http.Request) {
	buffers := make([][]byte, 0, 64)
	sum := 0
	for i := 0; i < cap(buffers); i++ {
		b := make([]byte, 64+i*8)
		for at := range b {
			b[at] = byte(at)
			sum += int(b[at])
		}
		buffers = append(buffers, b)
	}
	fmt.Fprintln(w, sum, len(buffers))
}

func churn(seed uint32) {
	ring := make([][]byte, 8000)
	for {
		seed ^= seed << 13
		seed ^= seed >> 17
		seed ^= seed << 5
		ring[seed%uint32(len(ring))] = make([]byte, sizes[seed>>8%uint32(len(sizes))])
	}
}

func main() {
	size := flag.Int("heap", 1, "live heap, MiB")
	spans := flag.Int("spans", 0, "spans with one untouched object each")
	goroutines := flag.Int("goroutines", 0, "goroutines that wait")
	load := flag.Int("load", 0, "goroutines that allocate flat out")
	flag.Parse()
	fill(*size * mib)
	if *spans > 0 {
		debug.SetGCPercent(-1)
		untouched = make([]*[8192]byte, *spans)
		for i := range untouched {
			untouched[i] = new([8192]byte)
		}
	}
	for i := 0; i < *goroutines; i++ {
		go func() { select {} }()
	}
	runtime.GC()
	for i := 0; i < *load; i++ {
		go churn(uint32(i + 1))
	}
	http.HandleFunc("/work", work)
	http.HandleFunc("/gc", func(http.ResponseWriter, *http.Request) { runtime.GC() })
	http.HandleFunc("/metrics", metricsPage)
	http.HandleFunc("/memstats", memStatsPage)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	go http.Serve(listener, nil)
	fmt.Println(listener.Addr())
	io.Copy(io.Discard, os.Stdin)
}
