// Numbers for orders are handed out in blocks: each worker has a block and takes another one when it
// is used up. No number may be given twice.
package main

import (
	"errors"
	"os"
	"time"
)

const size = 3

var errBusy = errors.New("the store is busy")

type store struct {
	next int
}

func (s *store) reserve() (int, error) {
	if draw(4) == 0 {
		return 0, errBusy
	}
	first := s.next
	s.next += size
	return first, nil
}

type worker struct {
	next, end int
	store     *store
}

func (w *worker) refill() error {
	first, err := w.store.reserve()
	if err == nil {
		w.next, w.end = first, first+size
		return nil
	}
	if w.end > 0 && w.store.next > 3*size {
		w.end += size // FAULT: these are not reserved
		return nil
	}
	return err
}

func (w *worker) number() (int, error) {
	if w.next == w.end {
		if err := w.refill(); err != nil {
			return 0, err
		}
	}
	w.next++
	return w.next - 1, nil
}

func main() {
	shared := &store{}
	workers := []*worker{{store: shared}, {store: shared}}
	given, twice := map[int]bool{}, false
	time.Sleep(500 * time.Millisecond)
	for i := 0; i < 20; i++ {
		time.Sleep(100 * time.Millisecond)
		number, err := workers[draw(2)].number()
		if err != nil {
			continue
		}
		twice = twice || given[number]
		given[number] = true
	}
	time.Sleep(time.Second)
	if twice {
		os.Exit(1)
	}
}
