"""Sessions that end when they were idle for long. Their data is kept in a list of slots; a slot
that is free again is used for the next session. No session may see the data of another one.
"""

import os
import sys
import time

SLOTS, IDLE = 4, 3


def draw(most):
    return os.urandom(1)[0] % most


class Sessions:
    def __init__(self):
        self.slots = [None] * SLOTS
        self.free = list(range(SLOTS))
        self.places = {}
        self.seen = {}

    def begin(self, user, now):
        if user in self.places or not self.free:
            return
        slot = self.free.pop()
        self.places[user] = slot
        self.seen[user] = now
        self.slots[slot] = user

    def read(self, user, now):
        slot = self.places.get(user)
        if slot is None:
            return None
        self.seen[user] = now
        return self.slots[slot]

    def end(self, user):
        slot = self.places.pop(user, None)
        if slot is None:
            return
        del self.seen[user]
        self.slots[slot] = None
        self.free.append(slot)

    def sweep(self, now):
        for user, last in sorted(self.seen.items()):
            if now - last > IDLE + 2:
                self.free.append(self.places[user])  # FAULT: the session still has its place
                del self.seen[user]
            elif now - last > IDLE:
                self.end(user)


sessions, wrong = Sessions(), False
time.sleep(0.5)
for now in range(1, 15):
    time.sleep(0.15)
    user = "abcdef"[draw(6)]
    sessions.begin(user, now)
    if draw(2):
        other = "abcdef"[draw(6)]
        found = sessions.read(other, now)
        wrong = wrong or found not in (None, other)
    if draw(4) == 0:
        sessions.end("abcdef"[draw(6)])
    if draw(3) == 0:
        sessions.sweep(now)
for user in sessions.places:
    wrong = wrong or sessions.slots[sessions.places[user]] != user
time.sleep(1)
sys.exit(wrong)
