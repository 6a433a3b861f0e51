// Program matrix is built with every release of Go in every build mode, and does as it is told: one command a line on
// stdin, one line of JSON on stdout for each. It imports little, since all of it is compiled 40 times over.
//
//	mix                    live objects of all sizes, garbage, idle and released memory, a known mix of each
//	grow N, garbage N      MiB of live objects, of garbage
//	free N                 drops every object whose number ends in less than N of 10
//	gc, freeos             runtime.GC, debug.FreeOSMemory
//	gogc N, limit N, procs N   debug.SetGCPercent, debug.SetMemoryLimit (MiB), GOMAXPROCS
//	go, ungo               goroutines in every state of rest, and their end
//	park N                 N goroutines that wait, for good
//	load N                 N goroutines that allocate flat out, for good
//	spans N                N spans with one untouched object each
//	reserve N              N GiB of address space without access
//	exec                   this program again, in the same process
//	stats                  stops itself (SIGSTOP) right after ReadMemStats; once continued, says what it read
package main

import (
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"syscall"
)

func main() { serve() }

var (
	input  [4096]byte
	filled int
	output = make([]byte, 0, 1<<16)
)

// The next command. Allocates nothing, so that the heap stays as it was when the last answer was given.
func line() ([]byte, bool) {
	for {
		for i := 0; i < filled; i++ {
			if input[i] == '\n' {
				copy(command[:], input[:i])
				copy(input[:], input[i+1:filled])
				filled -= i + 1
				return command[:i], true
			}
		}
		n, err := syscall.Read(0, input[filled:])
		if err == syscall.EINTR {
			continue
		}
		if n <= 0 {
			return nil, false
		}
		filled += n
	}
}

var command [4096]byte

func serve() {
	// Neither can be asked for without being set.
	gcPercent = debug.SetGCPercent(100)
	debug.SetGCPercent(gcPercent)
	memoryLimit = debug.SetMemoryLimit(-1)
	write(append(output[:0], `{"version":"`+runtime.Version()+`"}`...))
	for {
		text, ok := line()
		if !ok {
			return
		}
		if string(text) == "stats" {
			readAndStop()
			write(report(output[:0]))
			continue
		}
		verb, n := split(string(text))
		if do, ok := verbs[verb]; ok {
			do(n)
			write(append(output[:0], "{}"...))
		} else {
			write(append(output[:0], `{"error":"what?"}`...))
		}
	}
}

var verbs = map[string]func(int){
	"mix":     func(int) { mix() },
	"grow":    grow,
	"garbage": garbage,
	"free":    free,
	"gc":      func(int) { runtime.GC() },
	"freeos":  func(int) { debug.FreeOSMemory() },
	"gogc":    func(n int) { gcPercent = n; debug.SetGCPercent(n) },
	"limit":   func(n int) { memoryLimit = int64(n) << 20; debug.SetMemoryLimit(memoryLimit) },
	"procs":   func(n int) { runtime.GOMAXPROCS(n) },
	"go":      func(int) { rest() },
	"ungo":    func(int) { wake() },
	"park":    park,
	"load":    load,
	"spans":   spans,
	"reserve": reserve,
	"exec":    func(int) { syscall.Exec("/proc/self/exe", os.Args, os.Environ()) },
}

func split(text string) (string, int) {
	for i := range text {
		if text[i] == ' ' {
			n, err := strconv.Atoi(text[i+1:])
			if err != nil {
				return "", 0
			}
			return text[:i], n
		}
	}
	return text, 0
}

func write(text []byte) {
	text = append(text, '\n')
	for len(text) > 0 {
		n, err := syscall.Write(1, text)
		if err != nil && err != syscall.EINTR && err != syscall.EAGAIN {
			os.Exit(1)
		}
		if n > 0 {
			text = text[n:]
		}
	}
}
