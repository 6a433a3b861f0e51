// patterns PATTERN LIMIT_MIB SECONDS SEED runs out of memory in one known way: it waits for a line on stdin, so that it can be
// put into its cgroup first, and is then at the limit after about SECONDS. SEED varies sizes and rates.
package main

import (
	"bufio"
	"fmt"
	"math/rand"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"strconv"
	"syscall"
	"time"
)

const mib = 1 << 20

var (
	limit   float64 // MiB
	seconds float64
	random  *rand.Rand
	kept    [][]byte
	garbage []byte
)

func touched(size int) []byte {
	b := make([]byte, size)
	for i := 0; i < size; i += 4096 {
		b[i] = 1
	}
	return b
}

// steady calls step with 1 MiB's worth of work, total of them evenly over a duration.
func steady(total, duration float64, step func()) {
	begin := time.Now()
	for done := 0.0; done < total; done++ {
		step()
		due := time.Duration(duration * (done + 1) / total * float64(time.Second))
		time.Sleep(due - time.Since(begin))
	}
}

func keep() {
	for bytes := 0; bytes < mib; {
		b := touched(512 + random.Intn(32<<10))
		kept = append(kept, b)
		bytes += len(b)
	}
}

func churn() {
	for bytes := 0; bytes < mib; bytes += len(garbage) {
		garbage = touched(512 + random.Intn(16<<10))
	}
}

func mapped() {
	m, err := syscall.Mmap(-1, 0, mib, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_PRIVATE|syscall.MAP_ANON)
	for i := 0; err == nil && i < len(m); i += 4096 {
		m[i] = 1
	}
}

func heapLeak() {
	litter := random.Intn(3)
	steady(limit*2, seconds*2, func() {
		keep()
		for i := 0; i < litter; i++ {
			churn()
		}
	})
}

//go:noinline
func deep(n int, wait chan struct{}) byte {
	var frame [512]byte
	frame[n] = byte(n)
	if n == 0 {
		<-wait
		return frame[0]
	}
	return deep(n-1, wait) + frame[n]
}

func goroutineLeak() {
	wait := make(chan struct{})
	depth := 4 + random.Intn(16)
	steady(limit*2, seconds*2, func() {
		for i := 0; i < mib/(depth*1024); i++ {
			go deep(depth, wait)
		}
	})
}

// A live heap at rest, then litter up to a goal that lies beyond the limit.
func allocationBurst() {
	debug.SetGCPercent(400 + random.Intn(300))
	live := limit * (0.2 + random.Float64()*0.1)
	steady(live, seconds/4, keep)
	runtime.GC()
	runtime.GC()
	steady(limit*2, seconds*1.5, churn)
}

func gcDeathSpiral() {
	goal := limit * (0.8 + random.Float64()*0.08)
	debug.SetMemoryLimit(int64(goal * mib))
	steady(goal*0.88, seconds/4, keep)
	steady(limit, seconds*6, func() {
		keep()
		for i := 0; i < 10; i++ {
			churn()
		}
	})
}

// Few of many small objects stay, and hold their spans; then others are wanted.
func fragmentation() {
	size := 128 << random.Intn(3)
	small := make([][]byte, 0, int(limit)*mib/size)
	steady(limit*0.75, seconds/3, func() {
		for i := 0; i < mib/size; i++ {
			b := make([]byte, size)
			b[0] = 1
			small = append(small, b)
		}
	})
	for i := range small {
		if i%8 != 0 {
			small[i] = nil
		}
	}
	runtime.GC()
	runtime.GC()
	steady(limit, seconds*2, func() { kept = append(kept, touched(mib)) })
	runtime.KeepAlive(small)
}

// After one collection the scavenger aims at what was used before it, and keeps all that has become idle.
func retainedIdle() {
	debug.SetGCPercent(900)
	steady(limit*0.08, seconds/8, keep)
	runtime.GC()
	steady(limit*(0.52+random.Float64()*0.1), seconds/4, churn)
	runtime.GC()
	steady(limit, seconds*2, mapped)
}

func offHeap() {
	steady(limit*2, seconds*2, func() {
		mapped()
		churn()
	})
}

// Written and locked: cache that cannot be dropped.
func pageCache() {
	file, err := os.CreateTemp(os.Getenv("PATTERNS_DIRECTORY"), "cache")
	check(err)
	check(os.Remove(file.Name()))
	block := touched(mib)
	at := int64(0)
	steady(limit*2, seconds*2, func() {
		_, err := file.WriteAt(block, at)
		check(err)
		m, err := syscall.Mmap(int(file.Fd()), at, mib, syscall.PROT_READ, syscall.MAP_SHARED)
		check(err)
		check(syscall.Mlock(m))
		at += mib
	})
}

func shmem() {
	file, err := os.CreateTemp("/dev/shm", "patterns")
	check(err)
	check(os.Remove(file.Name()))
	block := touched(mib)
	steady(limit*2, seconds*2, func() {
		_, err := file.Write(block)
		check(err)
	})
}

// Full pipes.
func kernelMemory() {
	block := touched(mib)
	steady(limit*2, seconds*2, func() {
		var ends [2]int
		check(syscall.Pipe(ends[:]))
		_, _, errno := syscall.Syscall(syscall.SYS_FCNTL, uintptr(ends[1]), 1031, mib) // F_SETPIPE_SZ
		if errno != 0 {
			check(errno)
		}
		_, err := syscall.Write(ends[1], block)
		check(err)
	})
}

// The child grows; this one is the first to go.
func neighbour() {
	check(os.WriteFile("/proc/self/oom_score_adj", []byte("1000"), 0))
	child := exec.Command("/proc/self/exe", append([]string{"eat"}, os.Args[2:]...)...)
	in, err := child.StdinPipe()
	check(err)
	check(child.Start())
	check(os.WriteFile(fmt.Sprintf("/proc/%d/oom_score_adj", child.Process.Pid), []byte("0"), 0))
	fmt.Fprintln(in, "go")
	steady(limit*0.08, 0.2, keep)
	for {
		churn()
		time.Sleep(20 * time.Millisecond)
	}
}

// What it needs is there soon, and stays; a request then needs a little more.
func limitTooSmall() {
	debug.SetGCPercent(5)
	steady(limit*(0.76+random.Float64()*0.06), seconds/5, keep)
	steady(seconds*20, seconds, func() {
		for i := 0; i < 64; i++ {
			garbage = touched(4096)
		}
	})
	for {
		keep()
	}
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func main() {
	number := func(at int) float64 {
		value, err := strconv.ParseFloat(os.Args[at], 64)
		check(err)
		return value
	}
	limit, seconds = number(2), number(3)
	random = rand.New(rand.NewSource(int64(number(4))))
	play := map[string]func(){
		"heap_leak": heapLeak, "goroutine_leak": goroutineLeak, "allocation_burst": allocationBurst,
		"gc_death_spiral": gcDeathSpiral, "fragmentation": fragmentation, "retained_idle": retainedIdle,
		"off_heap": offHeap, "page_cache": pageCache, "shmem": shmem, "kernel_memory": kernelMemory,
		"neighbour": neighbour, "limit_too_small": limitTooSmall, "eat": offHeap,
	}[os.Args[1]]
	fmt.Println("ready")
	bufio.NewReader(os.Stdin).ReadString('\n')
	play()
	// The limit was not reached. Without a reader the linker would leave the heap profile out.
	pprof.WriteHeapProfile(os.Stderr)
	os.Exit(2)
}
