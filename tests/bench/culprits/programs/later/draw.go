package main

import "os"

var source, _ = os.Open("/dev/urandom")

// draw is a number below most, drawn by the kernel.
func draw(most int) int {
	var drawn [4]byte
	if _, err := source.Read(drawn[:]); err != nil {
		os.Exit(2)
	}
	return (int(drawn[0]) | int(drawn[1])<<8 | int(drawn[2])<<16) % most
}
