// Program many BUCKETS GOROUTINES allocates from that many different stacks, each of which is a bucket of its heap profile,
// and parks that many goroutines; says ready, and stays as it is until stdin ends.
package main

import (
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"strconv"
	"sync"
)

const depth = 13

var kept [][]byte

// Every path through these two is another stack.
//
//go:noinline
func left(path, depth int) { turn(path, depth) }

//go:noinline
func right(path, depth int) { turn(path, depth) }

//go:noinline
func turn(path, depth int) {
	switch {
	case depth == 0:
		kept = append(kept, make([]byte, 512))
	case path%2 == 0:
		left(path/2, depth-1)
	default:
		right(path/2, depth-1)
	}
}

func main() {
	buckets, _ := strconv.Atoi(os.Args[1])
	goroutines, _ := strconv.Atoi(os.Args[2])
	debug.SetGCPercent(-1)
	kept = make([][]byte, 0, buckets)
	runtime.MemProfileRate = 1
	for i := 0; i < buckets; i++ {
		turn(i, depth)
	}
	never := make(chan struct{})
	var ready sync.WaitGroup
	for i := 0; i < goroutines; i++ {
		ready.Add(1)
		go func() { ready.Done(); <-never }()
	}
	ready.Wait()
	runtime.GC()
	runtime.GC()
	fmt.Println("ready")
	os.Stdin.Read(make([]byte, 1))
	// Without its reader the linker leaves the profile out.
	pprof.Lookup("heap").WriteTo(os.Stdout, 1)
	runtime.KeepAlive(kept)
}
