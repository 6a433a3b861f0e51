// Program profiled HEAP GOROUTINES keeps a heap profile, as programs with net/http/pprof do: it allocates from all kinds
// of stacks, starts goroutines, writes what runtime/pprof says of both to the two files, says ready, and stays as it is
// until stdin ends.
package main

import (
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"sync"
)

var kept [][]byte

// Inlined into whoever calls it, and that one into whoever calls that.
func small() { kept = append(kept, make([]byte, 1000)) }

func twice() { small(); small() }

//go:noinline
func large() { kept = append(kept, make([]byte, 100_000)) }

// Deeper than any release writes down.
func deep(n int) {
	if n == 0 {
		large()
		return
	}
	deep(n - 1)
}

func of[T any](n int) any { return make([]T, n) }

type shape interface{ grow() }
type square struct{ side int }

func (s square) grow() { kept = append(kept, make([]byte, s.side*s.side)) }

//go:noinline
func wait(ready *sync.WaitGroup) {
	ready.Done()
	select {}
}

func main() {
	runtime.MemProfileRate = 4096
	debug.SetGCPercent(-1)
	var sink []any
	var shapes shape = &square{70}
	for i := 0; i < 2000; i++ {
		twice()
		func() { small() }()
		sink = append(sink, of[int64](100), of[string](50))
		shapes.grow()
		if i%20 == 0 {
			large()
			deep(10)
			deep(400)
		}
	}
	// Half of it is freed again, which the profile shows too.
	kept = kept[len(kept)/2:]
	var ready sync.WaitGroup
	for i := 0; i < 40; i++ {
		ready.Add(4)
		go wait(&ready)
		go func() { wait(&ready) }()
		go func() {
			go wait(&ready)
			wait(&ready)
		}()
	}
	ready.Wait()
	runtime.GC()
	runtime.GC()
	write(os.Args[1], func(file *os.File) error { return pprof.Lookup("heap").WriteTo(file, 0) })
	write(os.Args[2], func(file *os.File) error { return pprof.Lookup("goroutine").WriteTo(file, 2) })
	fmt.Println(runtime.NumGoroutine())
	os.Stdin.Read(make([]byte, 1))
	runtime.KeepAlive(sink)
	runtime.KeepAlive(kept)
}

func write(path string, with func(*os.File) error) {
	file, err := os.Create(path)
	if err == nil {
		err = with(file)
	}
	if err == nil {
		err = file.Close()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
