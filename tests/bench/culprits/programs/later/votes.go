// Three voters elect a leader, again and again. A voter that restarts has to remember for whom it
// voted. In no term there may be two leaders.
package main

import (
	"os"
	"time"
)

type voter struct {
	id, term, votedFor int
	disk               [2]int // term, vote
	lagging            bool
}

func (v *voter) save() {
	v.disk = [2]int{v.term, v.votedFor}
}

func (v *voter) restart() {
	v.term, v.votedFor = v.disk[0], v.disk[1]
	if v.lagging {
		v.votedFor = -1 // FAULT: it has voted in this term
		v.lagging = false
	}
}

func (v *voter) vote(term, candidate int) bool {
	switch {
	case term < v.term:
		return false
	case term > v.term:
		v.term, v.votedFor = term, -1
	}
	if v.votedFor >= 0 && v.votedFor != candidate {
		return false
	}
	v.votedFor = candidate
	v.save()
	return true
}

func election(voters []*voter, term, candidate int) bool {
	got := 0
	for _, v := range voters {
		if v.id != candidate && draw(3) == 0 {
			v.lagging = true
			continue
		}
		if v.vote(term, candidate) {
			got++
		}
	}
	return got > len(voters)/2
}

func main() {
	voters := []*voter{{id: 0}, {id: 1}, {id: 2}}
	leaders := map[int]map[int]bool{}
	two := false
	time.Sleep(500 * time.Millisecond)
	for i := 0; i < 12; i++ {
		time.Sleep(150 * time.Millisecond)
		term, candidate := 1+i/2, draw(3)
		if election(voters, term, candidate) {
			if leaders[term] == nil {
				leaders[term] = map[int]bool{}
			}
			leaders[term][candidate] = true
			two = two || len(leaders[term]) > 1
		}
		if draw(3) == 0 {
			voters[draw(3)].restart()
		}
	}
	time.Sleep(time.Second)
	if two {
		os.Exit(1)
	}
}
