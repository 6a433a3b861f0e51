package main

import (
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

var (
	resting int32
	ended   sync.WaitGroup
	mutex   sync.Mutex
	cond    = sync.NewCond(new(sync.Mutex))
	stop    chan struct{}
	pipe    [2]int
)

func start(count int, wait func()) {
	for i := 0; i < count; i++ {
		ended.Add(1)
		go func() {
			defer ended.Done()
			atomic.AddInt32(&resting, 1)
			wait()
		}()
	}
}

// Goroutines that wait for everything there is to wait for, in numbers that tell them apart.
func rest() {
	stop = make(chan struct{})
	resting = 0
	if err := syscall.Pipe(pipe[:]); err != nil {
		panic(err)
	}
	mutex.Lock()
	done, never := stop, make(chan struct{})
	start(101, func() { <-done })
	start(53, func() {
		select {
		case <-done:
		case <-never:
		}
	})
	start(29, func() { mutex.Lock(); mutex.Unlock() })
	start(17, func() { cond.L.Lock(); cond.Wait(); cond.L.Unlock() })
	start(11, func() { deep(200, done) })
	start(3, func() { var b [1]byte; syscall.Read(pipe[0], b[:]) })
	start(7, func() {
		timer := time.NewTimer(time.Hour)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-done:
		}
	})
	for atomic.LoadInt32(&resting) < 101+53+29+17+11+3+7 {
		runtime.Gosched()
	}
}

// Goroutines that wait, for good.
func park(n int) {
	never := make(chan struct{})
	var parked int32
	for i := 0; i < n; i++ {
		go func() { atomic.AddInt32(&parked, 1); <-never }()
	}
	for int(atomic.LoadInt32(&parked)) < n {
		runtime.Gosched()
	}
}

// About 64 KiB of stack.
func deep(n int, done chan struct{}) byte {
	var frame [256]byte
	frame[n%256] = byte(n)
	if n == 0 {
		<-done
		return 0
	}
	return deep(n-1, done) + frame[n%256]
}

// Ends them all.
func wake() {
	close(stop)
	mutex.Unlock()
	syscall.Close(pipe[1])
	all := make(chan struct{})
	go func() { ended.Wait(); close(all) }()
	for {
		// One that was on its way to Wait has missed the broadcast before.
		cond.Broadcast()
		select {
		case <-all:
			syscall.Close(pipe[0])
			return
		default:
			runtime.Gosched()
		}
	}
}
