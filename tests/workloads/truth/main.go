// truth is a test target driven over stdin: one command a line, one JSON object a line on stdout. It knows exactly
// what it allocated and freed, and reports the runtime's and the kernel's own figures beside it.
//
//	alloc MB        keep MB more MiB, every page written
//	free            drop everything kept
//	gc              runtime.GC
//	freeosmemory    debug.FreeOSMemory
//	touch MB        drop everything kept, then alloc MB
//	memstats        runtime.ReadMemStats and smaps_rollup
//	exit CODE       exit with CODE
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
)

const mib = 1 << 20

// blockBytes is the size of one kept object: large enough to be a span of its own.
const blockBytes = 1 * mib

var kept [][]byte

//go:noinline
func newBlock() []byte {
	block := make([]byte, blockBytes)
	for i := 0; i < blockBytes; i += 4096 {
		block[i] = 1
	}
	return block
}

func alloc(megabytes int) {
	for i := 0; i < megabytes*mib/blockBytes; i++ {
		kept = append(kept, newBlock())
	}
}

func free() { kept = nil }

// stats and line are allocated once: between ReadMemStats and the end of its answer nothing may move the heap, so
// that whoever reads the runtime from outside after that answer finds the same figures.
var (
	stats runtime.MemStats
	line  = make([]byte, 0, 4096)
)

// memstats answers by itself: the kernel's figures first, since reading them allocates, the runtime's last.
func memstats() {
	kernel := [...]struct {
		key   string
		value int64
	}{{"rss_bytes", rollup("Rss:")}, {"lazy_bytes", rollup("LazyFree:")}, {"thp_bytes", rollup("AnonHugePages:")}}
	version := runtime.Version()
	runtime.ReadMemStats(&stats)
	line = append(line[:0], `{"command":"memstats","go_version":"`...)
	line = append(append(line, version...), '"')
	for _, field := range &kernel {
		line = appendField(line, field.key, uint64(field.value), field.value < 0)
	}
	line = appendField(line, "heap_alloc_bytes", stats.HeapAlloc, false)
	line = appendField(line, "heap_inuse_bytes", stats.HeapInuse, false)
	line = appendField(line, "heap_idle_bytes", stats.HeapIdle, false)
	line = appendField(line, "heap_released_bytes", stats.HeapReleased, false)
	line = appendField(line, "heap_sys_bytes", stats.HeapSys, false)
	line = appendField(line, "sys_bytes", stats.Sys, false)
	line = appendField(line, "total_alloc_bytes", stats.TotalAlloc, false)
	line = appendField(line, "num_gc", uint64(stats.NumGC), false)
	line = appendField(line, "kept_bytes", uint64(len(kept)*blockBytes), false)
	line = append(line, "}\n"...)
	_, _ = os.Stdout.Write(line)
}

// appendField adds a number, or null for what the kernel does not say.
func appendField(line []byte, key string, value uint64, absent bool) []byte {
	line = append(line, `,"`...)
	line = append(append(line, key...), `":`...)
	if absent {
		return append(line, "null"...)
	}
	return strconv.AppendUint(line, value, 10)
}

// rollup is one line of smaps_rollup in bytes, or -1 when the kernel has no such line.
func rollup(name string) int64 {
	text, err := os.ReadFile("/proc/self/smaps_rollup")
	if err != nil {
		return -1
	}
	for _, line := range strings.Split(string(text), "\n") {
		fields := strings.Fields(line)
		if len(fields) >= 2 && fields[0] == name {
			if kilobytes, err := strconv.ParseInt(fields[1], 10, 64); err == nil {
				return kilobytes * 1024
			}
		}
	}
	return -1
}

// run does one command and fills the answer.
func run(command string, argument int, answer map[string]any) {
	switch command {
	case "alloc":
		alloc(argument)
	case "free":
		free()
	case "gc":
		runtime.GC()
	case "freeosmemory":
		debug.FreeOSMemory()
	case "touch":
		free()
		alloc(argument)
	case "exit":
		os.Exit(argument)
	default:
		answer["error"] = "unknown command"
	}
}

func main() {
	out := json.NewEncoder(os.Stdout)
	_ = out.Encode(map[string]any{"ready": true, "pid": os.Getpid(), "go_version": runtime.Version()})
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) == 0 {
			continue
		}
		if fields[0] == "memstats" {
			memstats()
			continue
		}
		answer := map[string]any{"command": fields[0]}
		argument, err := 0, error(nil)
		if len(fields) > 1 {
			argument, err = strconv.Atoi(fields[1])
		}
		if err != nil || argument < 0 {
			answer["error"] = fmt.Sprintf("not a count: %s", fields[1])
		} else {
			run(fields[0], argument, answer)
		}
		answer["kept_bytes"] = len(kept) * blockBytes
		_ = out.Encode(answer)
	}
}
