// brood starts copies of itself that end at once: a line COUNT WIDTH on stdin starts that many, that many at a time, and is
// answered when all of them have ended, with how many did so well. Without arguments; a copy has one.
package main

import (
	"fmt"
	"os"
	"os/exec"
	"sync"
	"sync/atomic"
)

func main() {
	if len(os.Args) > 1 {
		return
	}
	own, err := os.Executable()
	if err != nil {
		panic(err)
	}
	fmt.Println("ready")
	var count, width int
	for {
		if _, err := fmt.Scan(&count, &width); err != nil {
			return
		}
		var left, well atomic.Int64
		left.Store(int64(count))
		var group sync.WaitGroup
		for i := 0; i < width; i++ {
			group.Add(1)
			go func() {
				defer group.Done()
				for left.Add(-1) >= 0 {
					if exec.Command(own, "copy").Run() == nil {
						well.Add(1)
					}
				}
			}()
		}
		group.Wait()
		fmt.Println(well.Load())
	}
}
