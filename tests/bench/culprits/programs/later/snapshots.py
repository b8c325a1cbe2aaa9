"""A follower that applies a log. When it is far behind, it takes a snapshot and goes on from there.
In the end it must have the same state as its leader.
"""

import os
import sys
import time


def draw(most):
    return os.urandom(1)[0] % most


class Leader:
    def __init__(self):
        self.state = {}
        self.log = []

    def write(self, key, value):
        self.state[key] = value
        self.log.append((key, value))

    def snapshot(self):
        return dict(self.state), len(self.log)


class Follower:
    def __init__(self, leader):
        self.leader = leader
        self.state = {}
        self.applied = 0
        self.waiting = []

    def receive(self, index, entry):
        self.waiting.append((index, entry))

    def apply(self):
        for index, (key, value) in sorted(self.waiting):
            if index == self.applied:
                self.state[key] = value
                self.applied += 1
        self.waiting = [each for each in self.waiting if each[0] > self.applied]
        if self.waiting:
            self.catch_up()

    def catch_up(self):
        first = min(index for index, _ in self.waiting)
        if first - self.applied > 1:
            state, upto = self.leader.snapshot()
            self.state = state
            self.applied = upto
            self.waiting = []
        else:
            missing = self.leader.log[self.applied]
            if missing[0] not in self.state:
                self.applied += 1  # FAULT: it was not applied
            else:
                self.state[missing[0]] = missing[1]
                self.applied += 1


leader = Leader()
follower = Follower(leader)
time.sleep(0.5)
for number in range(14):
    time.sleep(0.15)
    leader.write("abcdefgh"[draw(8)], number)
    if draw(4):
        follower.receive(number, leader.log[number])
    if draw(2):
        follower.apply()
for number in range(follower.applied, len(leader.log)):
    follower.receive(number, leader.log[number])
    follower.apply()
time.sleep(1)
sys.exit(leader.state != follower.state)
