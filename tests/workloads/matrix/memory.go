package main

import (
	"runtime"
	"runtime/debug"
	"syscall"
)

const mib = 1 << 20

// Without pointers and with: they live in spans of their own.
type node struct {
	next *node
	data []byte
}

var (
	kept      [][]byte
	list      []*node
	sink      []byte
	untouched []*[8192]byte
)

// Odd ones, so that every size class has a use, and the tiny allocator too.
var sizes = []int{
	3, 7, 16, 24, 33, 48, 64, 96, 130, 256, 500, 1024, 1500, 2048, 3000, 4096, 6000, 8192, 12000, 16384, 32768, // small
	40000, 100000, mib, // large
}

// Writes every page, so that what is allocated is resident.
func touched(size int) []byte {
	b := make([]byte, size)
	for i := 0; i < size; i += 4096 {
		b[i] = 1
	}
	return b
}

// The same number of objects of each small size for every MiB, and a large one now and then.
func each(n int, use func(i int, b []byte)) {
	count := 0
	for round := 0; round < n; round++ {
		bytes := 0
		for bytes < mib-mib/4 {
			for _, size := range sizes[:len(sizes)-3] {
				use(count, touched(size))
				count++
				bytes += size
			}
		}
		use(count, touched(sizes[len(sizes)-3+round%2]))
		count++
	}
	use(count, touched(mib))
}

func grow(n int) {
	each(n, func(i int, b []byte) {
		kept = append(kept, b)
		if i%3 == 0 {
			list = append(list, &node{data: b})
		}
	})
}

func garbage(n int) { each(n, func(_ int, b []byte) { sink = b }) }

func free(n int) {
	list = nil
	left := kept[:0]
	for i, b := range kept {
		if i%10 >= n {
			left = append(left, b)
		}
	}
	for i := len(left); i < len(kept); i++ {
		kept[i] = nil
	}
	kept = left
}

// Live objects in sparse spans, then whole free spans of which some are released, then floating garbage on top.
func mix() {
	grow(48)
	free(4)
	runtime.GC()
	grow(8)
	debug.FreeOSMemory()
	garbage(6)
	runtime.GC()
	grow(2)
	garbage(1)
}

func spans(n int) {
	debug.SetGCPercent(-1)
	gcPercent = -1
	untouched = make([]*[8192]byte, n)
	for i := range untouched {
		untouched[i] = new([8192]byte)
	}
}

func reserve(n int) {
	const flags = syscall.MAP_PRIVATE | syscall.MAP_ANON | syscall.MAP_NORESERVE
	_, _, err := syscall.Syscall6(syscall.SYS_MMAP, 0, uintptr(n)<<30, syscall.PROT_NONE, flags, ^uintptr(0), 0)
	if err != 0 {
		panic(err)
	}
}

// Each keeps some 50 MiB in motion.
func load(n int) {
	for i := 0; i < n; i++ {
		go churn(uint32(i + 1))
	}
}

func churn(seed uint32) {
	ring := make([][]byte, 8000)
	for {
		seed ^= seed << 13
		seed ^= seed >> 17
		seed ^= seed << 5
		ring[seed%uint32(len(ring))] = touched(sizes[seed>>8%uint32(len(sizes)-2)])
	}
}
