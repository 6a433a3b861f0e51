// truth is a test target driven over stdin: one command a line, one JSON object a line on stdout. It knows exactly
// what it allocated and freed, and reports the runtime's and the kernel's own figures beside it.
//
//	alloc MB        keep MB more MiB, every page written
//	free            drop everything kept
//	gc              runtime.GC
//	freeosmemory    debug.FreeOSMemory
//	map MB          MB MiB of anonymous memory beside the heap, every page written
//	touch MB        drop everything kept, then alloc MB
//	fill            write 1 GiB beside the heap, to be killed at a limit before its end
//	memstats        runtime.ReadMemStats and smaps_rollup
//	exit CODE       exit with CODE
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
	"unsafe"
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

//go:noinline
func mapped(megabytes int) error {
	const access, flags = syscall.PROT_READ | syscall.PROT_WRITE, syscall.MAP_PRIVATE | syscall.MAP_ANON
	memory, err := syscall.Mmap(-1, 0, megabytes*mib, access, flags)
	for i := 0; i < len(memory); i += 4096 {
		memory[i] = 1
	}
	return err
}

// fill makes the calls itself: syscall.Mmap notes every mapping in the heap. A machine may refuse all of it at once.
func fill() {
	const access, flags = syscall.PROT_READ | syscall.PROT_WRITE, syscall.MAP_PRIVATE | syscall.MAP_ANON
	const piece = 64 * mib
	for filled := 0; filled < 1<<30; filled += piece {
		start, _, failed := syscall.Syscall6(syscall.SYS_MMAP, 0, piece, access, flags, ^uintptr(0), 0)
		if failed != 0 {
			os.Exit(1)
		}
		memory := unsafe.Slice(*(**byte)(unsafe.Pointer(&start)), piece)
		for i := 0; i < len(memory); i += 4096 {
			memory[i] = 1
		}
	}
}

// These are allocated once: between ReadMemStats and the end of its answer nothing may move the heap, so
// that whoever reads the runtime from outside after that answer finds the same figures.
var (
	stats runtime.MemStats
	line  = make([]byte, 0, 4096)
	smaps = make([]byte, 16<<10)
	freed = []byte(`{"command":"freeosmemory"}` + "\n")

	rollupFile int
)

// memstats answers by itself: the kernel's figures first, the runtime's last.
func memstats() {
	text := readRollup(smaps)
	kernel := [...]struct {
		key   string
		value int64
	}{
		{"rss_bytes", rollup(text, "\nRss:")},
		{"lazy_bytes", rollup(text, "\nLazyFree:")},
		{"thp_bytes", rollup(text, "\nAnonHugePages:")},
	}
	version := runtime.Version()
	// With one P, the sweeper of the last collection has not yet given back work buffers unless it was let run.
	runtime.Gosched()
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

// rollup is one line of the smaps_rollup text in bytes, or -1 when the kernel has no such line.
func rollup(text []byte, name string) int64 {
	at := bytes.Index(text, []byte(name))
	if at < 0 {
		return -1
	}
	kilobytes := int64(0)
	for _, c := range bytes.TrimLeft(text[at+len(name):], " ") {
		if c < '0' || c > '9' {
			break
		}
		kilobytes = kilobytes*10 + int64(c-'0')
	}
	return kilobytes * 1024
}

// readRollup reads smaps_rollup without allocating (an open would, for the path); empty when that fails.
func readRollup(buffer []byte) []byte {
	size := 0
	for size < len(buffer) {
		n, err := syscall.Pread(rollupFile, buffer[size:], int64(size))
		if n <= 0 || err != nil {
			break
		}
		size += n
	}
	return buffer[:size]
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
	case "map":
		if err := mapped(argument); err != nil {
			answer["error"] = err.Error()
		}
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
	rollupFile, _ = syscall.Open("/proc/self/smaps_rollup", syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
	out := json.NewEncoder(os.Stdout)
	_ = out.Encode(map[string]any{"ready": true, "pid": os.Getpid(), "go_version": runtime.Version()})
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		// These allocate nothing, not even for the line and the answer: the heap they leave is the heap they tell.
		switch string(lines.Bytes()) {
		case "memstats":
			memstats()
			continue
		case "freeosmemory":
			debug.FreeOSMemory()
			_, _ = os.Stdout.Write(freed)
			continue
		case "fill":
			fill()
			continue
		}
		fields := strings.Fields(lines.Text())
		if len(fields) == 0 {
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
