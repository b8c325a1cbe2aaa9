"""Leases: three workers take, renew and return one lease. Returned late, it is returned twice.

In the end there must not be more leases free than there are.
"""

import os
import sys
import time

LEASES = 2
free = LEASES
held = {}


def draw(most):
    return os.urandom(1)[0] % most


def take(worker, now):
    global free
    if worker in held or not free:
        return False
    free -= 1
    held[worker] = now
    return True


def renew(worker, now):
    if worker in held:
        held[worker] = now


def expire(now):
    global free
    for worker, since in list(held.items()):
        if now - since > 3:
            del held[worker]
            free += 1


def give_back(worker, now):
    global free
    if worker in held:
        del held[worker]
        free += 1
        return
    if now > 6:
        free += 1  # FAULT: it had expired, and was free already


time.sleep(0.5)
for now in range(10):
    time.sleep(0.2)
    expire(now)
    worker, way = draw(3), draw(8)
    if way < 4:
        take(worker, now)
    elif way < 7:
        renew(worker, now)
    else:
        give_back(worker, now)
time.sleep(1)
sys.exit(free + len(held) != LEASES)
