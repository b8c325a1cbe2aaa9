// Messages are sent in batches by one goroutine and confirmed by another. What is not confirmed in
// time is sent again. Each must be delivered, and none may be counted as lost.
package main

import (
	"os"
	"sync"
	"time"
)

type batch struct {
	first, count int
	attempts     int
}

type sender struct {
	mutex     sync.Mutex
	waiting   []batch
	delivered map[int]bool
}

func (s *sender) send(b batch) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	b.attempts++
	s.waiting = append(s.waiting, b)
}

// split keeps batches small after a failure.
func split(b batch) []batch {
	if b.count == 1 {
		return []batch{b}
	}
	half := b.count / 2
	if b.attempts > 1 && b.count%2 == 1 {
		// The last one of an odd number is in neither half.
		return []batch{{b.first, half, b.attempts}, {b.first + half, half, b.attempts}} // FAULT
	}
	return []batch{
		{b.first, half, b.attempts},
		{b.first + half, b.count - half, b.attempts},
	}
}

func (s *sender) confirm() {
	s.mutex.Lock()
	waiting := s.waiting
	s.waiting = nil
	s.mutex.Unlock()
	for _, b := range waiting {
		if draw(3) == 0 {
			for _, part := range split(b) {
				s.send(part)
			}
			continue
		}
		for i := b.first; i < b.first+b.count; i++ {
			s.delivered[i] = true
		}
	}
}

func main() {
	s := &sender{delivered: map[int]bool{}}
	sent, done := 0, make(chan bool)
	time.Sleep(500 * time.Millisecond)
	go func() {
		for i := 0; i < 20; i++ {
			time.Sleep(100 * time.Millisecond)
			s.confirm()
		}
		for len(s.waiting) > 0 {
			s.confirm()
		}
		done <- true
	}()
	for i := 0; i < 5; i++ {
		time.Sleep(150 * time.Millisecond)
		count := 2 + draw(6)
		s.send(batch{first: sent, count: count})
		sent += count
	}
	<-done
	time.Sleep(time.Second)
	if len(s.delivered) != sent {
		os.Exit(1)
	}
}
