// Computes at the bottom of what Go programs are made of, in goroutines that the runtime moves between threads: closures,
// interfaces, sorting, maps, formatting, deferred calls and panics that are recovered, stacks that grow.
//
//	go-stacks [--ms 2000] [--hold]
package main

import (
	"bufio"
	"flag"
	"fmt"
	"os"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

var sink uint64

//go:noinline
func compute() {
	seed := atomic.LoadUint64(&sink)
	for i := 0; i < 20000; i++ {
		seed = seed*6364136223846793005 + 1442695040888963407
	}
	atomic.StoreUint64(&sink, seed)
}

//go:noinline
func inRecursion(depth int) int {
	if depth == 0 {
		compute()
		return 1
	}
	return 1 + inRecursion(depth-1)
}

type shape interface{ draw() int }
type leaf struct{}
type group struct{ inner shape }

//go:noinline
func (leaf) draw() int {
	compute()
	return 1
}

//go:noinline
func (g group) draw() int { return g.inner.draw() + 1 }

//go:noinline
func inInterfaces() int {
	var s shape = leaf{}
	for i := 0; i < 5; i++ {
		s = group{s}
	}
	return s.draw()
}

//go:noinline
func inClosure(call func(int) int) int { return call(1) + 1 }

//go:noinline
func inSort() int {
	words := make([]string, 0, 100)
	for i := 0; i < 100; i++ {
		words = append(words, fmt.Sprintf("%d words", i*7919%1000))
	}
	sort.Slice(words, func(a, b int) bool { return words[b] < words[a] })
	return len(strings.Join(words, " "))
}

//go:noinline
func inMap() int {
	m := map[int][]int{}
	for i := 0; i < 300; i++ {
		m[i*7919%1000] = []int{i, i, i}
	}
	return len(m)
}

//go:noinline
func inPanic() (recovered bool) {
	defer func() {
		compute()
		recovered = recover() != nil
	}()
	panic("thrown")
}

//go:noinline
func inGrowingStack(depth int) byte {
	var room [2000]byte
	room[depth] = 1
	if depth == 0 {
		compute()
		return room[0]
	}
	return inGrowingStack(depth-1) + room[depth]
}

//go:noinline
func allShapes(end time.Time) (rounds int) {
	for ; time.Now().Before(end); rounds++ {
		inRecursion(3)
		inRecursion(40)
		inInterfaces()
		captured := rounds
		inClosure(func(n int) int {
			compute()
			return captured + n
		})
		inSort()
		inMap()
		inPanic()
		done := make(chan byte)
		go func() { done <- inGrowingStack(20) }()
		<-done
	}
	return rounds
}

func main() {
	ms := flag.Int("ms", 2000, "how long")
	hold := flag.Bool("hold", false, "wait for a line on standard input")
	flag.Parse()
	fmt.Printf("{\"event\":\"ready\",\"pid\":%d}\n", os.Getpid())
	if *hold {
		if _, err := bufio.NewReader(os.Stdin).ReadString('\n'); err != nil {
			os.Exit(3)
		}
	}
	end := time.Now().Add(time.Duration(*ms) * time.Millisecond)
	var rounds [2]int
	var both sync.WaitGroup
	for i := range rounds {
		both.Add(1)
		go func(i int) {
			defer both.Done()
			rounds[i] = allShapes(end)
		}(i)
	}
	both.Wait()
	fmt.Printf("{\"event\":\"result\",\"rounds\":%d}\n", rounds[0]+rounds[1])
}
