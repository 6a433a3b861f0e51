package main

import (
	"math"
	"runtime"
	"strconv"
	"syscall"
)

var (
	stats       runtime.MemStats
	goroutines  int
	gcPercent   int
	memoryLimit int64
)

// A stop that the thread sends to itself takes effect before the call returns: nothing runs between the figures and it.
func readAndStop() {
	runtime.LockOSThread()
	pid, tid := syscall.Getpid(), syscall.Gettid()
	goroutines = runtime.NumGoroutine()
	runtime.ReadMemStats(&stats)
	syscall.RawSyscall(syscall.SYS_TGKILL, uintptr(pid), uintptr(tid), uintptr(syscall.SIGSTOP))
	runtime.UnlockOSThread()
}

type object struct {
	text    []byte
	isFirst bool
}

func (o *object) name(name string) {
	if !o.isFirst {
		o.text = append(o.text, ',')
	}
	o.isFirst = false
	o.text = append(append(append(o.text, '"'), name...), '"', ':')
}

func (o *object) number(name string, value uint64) {
	o.name(name)
	o.text = strconv.AppendUint(o.text, value, 10)
}

func (o *object) numbers(name string, count int, value func(int) uint64) {
	o.name(name)
	for i := 0; i < count; i++ {
		if i == 0 {
			o.text = append(o.text, '[')
		} else {
			o.text = append(o.text, ',')
		}
		o.text = strconv.AppendUint(o.text, value(i), 10)
	}
	o.text = append(o.text, ']')
}

func (o *object) boolean(name string, value bool) {
	o.name(name)
	o.text = strconv.AppendBool(o.text, value)
}

// What readAndStop has read. Negative numbers and fractions by their bits, so that nothing is rounded.
func report(text []byte) []byte {
	o, m := object{append(text, '{'), true}, &stats
	o.number("Alloc", m.Alloc)
	o.number("TotalAlloc", m.TotalAlloc)
	o.number("Sys", m.Sys)
	o.number("Lookups", m.Lookups)
	o.number("Mallocs", m.Mallocs)
	o.number("Frees", m.Frees)
	o.number("HeapAlloc", m.HeapAlloc)
	o.number("HeapSys", m.HeapSys)
	o.number("HeapIdle", m.HeapIdle)
	o.number("HeapInuse", m.HeapInuse)
	o.number("HeapReleased", m.HeapReleased)
	o.number("HeapObjects", m.HeapObjects)
	o.number("StackInuse", m.StackInuse)
	o.number("StackSys", m.StackSys)
	o.number("MSpanInuse", m.MSpanInuse)
	o.number("MSpanSys", m.MSpanSys)
	o.number("MCacheInuse", m.MCacheInuse)
	o.number("MCacheSys", m.MCacheSys)
	o.number("BuckHashSys", m.BuckHashSys)
	o.number("GCSys", m.GCSys)
	o.number("OtherSys", m.OtherSys)
	o.number("NextGC", m.NextGC)
	o.number("LastGC", m.LastGC)
	o.number("PauseTotalNs", m.PauseTotalNs)
	o.numbers("PauseNs", len(m.PauseNs), func(i int) uint64 { return m.PauseNs[i] })
	o.numbers("PauseEnd", len(m.PauseEnd), func(i int) uint64 { return m.PauseEnd[i] })
	o.number("NumGC", uint64(m.NumGC))
	o.number("NumForcedGC", uint64(m.NumForcedGC))
	o.number("GCCPUFraction", math.Float64bits(m.GCCPUFraction))
	o.boolean("EnableGC", m.EnableGC)
	o.boolean("DebugGC", m.DebugGC)
	sizes := len(m.BySize)
	o.numbers("BySizeSize", sizes, func(i int) uint64 { return uint64(m.BySize[i].Size) })
	o.numbers("BySizeMallocs", sizes, func(i int) uint64 { return m.BySize[i].Mallocs })
	o.numbers("BySizeFrees", sizes, func(i int) uint64 { return m.BySize[i].Frees })
	o.number("NumGoroutine", uint64(goroutines))
	o.number("GOMAXPROCS", uint64(runtime.GOMAXPROCS(0)))
	o.number("GOGC", uint64(int64(gcPercent)))
	o.number("GOMEMLIMIT", uint64(memoryLimit))
	return append(o.text, '}')
}
