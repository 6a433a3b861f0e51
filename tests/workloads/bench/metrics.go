package main

import (
	"fmt"
	"net/http"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// What the Go collector of client_golang reads by default (prometheus/internal/go_runtime_metrics, goRuntimeMemStats).
var samples = []metrics.Sample{
	{Name: "/gc/heap/tiny/allocs:objects"},
	{Name: "/gc/heap/allocs:objects"},
	{Name: "/gc/heap/frees:objects"},
	{Name: "/gc/heap/allocs:bytes"},
	{Name: "/gc/heap/objects:objects"},
	{Name: "/gc/heap/goal:bytes"},
	{Name: "/memory/classes/total:bytes"},
	{Name: "/memory/classes/heap/objects:bytes"},
	{Name: "/memory/classes/heap/unused:bytes"},
	{Name: "/memory/classes/heap/released:bytes"},
	{Name: "/memory/classes/heap/free:bytes"},
	{Name: "/memory/classes/heap/stacks:bytes"},
	{Name: "/memory/classes/os-stacks:bytes"},
	{Name: "/memory/classes/metadata/mspan/inuse:bytes"},
	{Name: "/memory/classes/metadata/mspan/free:bytes"},
	{Name: "/memory/classes/metadata/mcache/inuse:bytes"},
	{Name: "/memory/classes/metadata/mcache/free:bytes"},
	{Name: "/memory/classes/profiling/buckets:bytes"},
	{Name: "/memory/classes/metadata/other:bytes"},
	{Name: "/memory/classes/other:bytes"},
}

// As its base collector does beside that.
func base(w http.ResponseWriter) {
	threads, _ := runtime.ThreadCreateProfile(nil)
	stats := debug.GCStats{PauseQuantiles: make([]time.Duration, 5)}
	debug.ReadGCStats(&stats)
	fmt.Fprintln(w, "go_goroutines", runtime.NumGoroutine())
	fmt.Fprintln(w, "go_threads", threads)
	for i, pause := range stats.PauseQuantiles {
		fmt.Fprintf(w, "go_gc_duration_seconds{quantile=\"%v\"} %v\n", float64(i)/4, pause.Seconds())
	}
}

func metricsPage(w http.ResponseWriter, r *http.Request) {
	base(w)
	own := make([]metrics.Sample, len(samples))
	copy(own, samples)
	metrics.Read(own)
	for _, sample := range own {
		if sample.Value.Kind() == metrics.KindUint64 {
			fmt.Fprintln(w, sample.Name, sample.Value.Uint64())
		}
	}
}

func memStatsPage(w http.ResponseWriter, r *http.Request) {
	base(w)
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	stats.PauseNs, stats.PauseEnd = [256]uint64{}, [256]uint64{}
	fmt.Fprintf(w, "%+v\n", stats)
}
