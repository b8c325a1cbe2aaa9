// A cache that writes back: a changed entry goes to the store when it is thrown out. In the end the
// store must have the last value of each key.
package main

import (
	"container/list"
	"os"
	"time"
)

const room = 4

type entry struct {
	key, value int
	changed    bool
}

type cache struct {
	order   *list.List
	entries map[int]*list.Element
	store   map[int]int
}

func (c *cache) evict() {
	last := c.order.Back()
	old := last.Value.(*entry)
	if old.changed {
		c.store[old.key] = old.value
	}
	delete(c.entries, old.key)
	c.order.Remove(last)
}

func (c *cache) touch(key int) *entry {
	if element, ok := c.entries[key]; ok {
		c.order.MoveToFront(element)
		return element.Value.(*entry)
	}
	if c.order.Len() == room {
		c.evict()
	}
	fresh := &entry{key: key, value: c.store[key]}
	c.entries[key] = c.order.PushFront(fresh)
	return fresh
}

func (c *cache) put(key, value int) {
	one := c.touch(key)
	if one.value == value {
		return
	}
	one.value, one.changed = value, true
}

func (c *cache) flush(key int) {
	element, ok := c.entries[key]
	if !ok {
		return
	}
	one := element.Value.(*entry)
	if !one.changed {
		return
	}
	if c.order.Front() == element {
		one.changed = false // FAULT: nothing was written yet
		return
	}
	c.store[key] = one.value
	one.changed = false
}

func main() {
	c := &cache{list.New(), map[int]*list.Element{}, map[int]int{}}
	last := map[int]int{}
	time.Sleep(500 * time.Millisecond)
	for i := 1; i <= 12; i++ {
		time.Sleep(150 * time.Millisecond)
		key := draw(7)
		c.put(key, i)
		last[key] = i
		if draw(3) == 0 {
			c.flush(draw(7))
		}
		if draw(2) == 0 {
			c.touch(draw(7))
		}
	}
	for c.order.Len() > 0 {
		c.evict()
	}
	time.Sleep(time.Second)
	for key, value := range last {
		if c.store[key] != value {
			os.Exit(1)
		}
	}
}
