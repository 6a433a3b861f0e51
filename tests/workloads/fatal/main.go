// Program fatal ends, or does not, in the way its one line on stdin says:
//
//	panic TEXT     a panic with that text, which nobody recovers
//	error          one with an error: a nil pointer is read
//	number         one with a value that is no text
//	map            two goroutines write to one map
//	deadlock       every goroutine waits
//	memory         more memory is asked for than the address space may hold (to be limited beforehand)
//	recover        a panic that is recovered; says so, and ends well at the end of stdin
package main

import (
	"bufio"
	"fmt"
	"os"
	"strings"
)

var (
	kept [][]byte
	none *struct{ field int }
)

func main() {
	fmt.Println("ready")
	input := bufio.NewReader(os.Stdin)
	line, _ := input.ReadString('\n')
	verb, text, _ := strings.Cut(strings.TrimSpace(line), " ")
	switch verb {
	case "panic":
		end(text)
	case "error":
		none.field++
	case "number":
		panic(42)
	case "map":
		collide()
	case "deadlock":
		<-make(chan int)
	case "memory":
		for {
			kept = append(kept, make([]byte, 64<<20))
		}
	case "recover":
		survive()
		fmt.Println("recovered")
		input.ReadString('\n')
	}
}

//go:noinline
func end(text string) { panic(text) }

func survive() {
	defer func() { recover() }()
	end("never mind")
}

// Both write until the runtime sees it.
func collide() {
	shared := map[int]int{}
	write := func() {
		for i := 0; ; i++ {
			shared[i&7] = i
		}
	}
	go write()
	write()
}
