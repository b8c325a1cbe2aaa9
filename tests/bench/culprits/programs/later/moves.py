"""Moves of goods between three stores. A move is two changes; if the second one is refused, the
first one has to be undone. In the end nothing may be lost.
"""

import os
import sys
import time

ROOM = 12


def draw(most):
    return os.urandom(1)[0] % most


class Full(Exception):
    pass


class Store:
    def __init__(self, goods):
        self.goods = goods
        self.closed = False

    def take(self, count):
        taken = min(count, self.goods)
        self.goods -= taken
        return taken

    def add(self, count):
        if self.goods + count > ROOM:
            raise Full
        if self.closed:
            raise PermissionError
        self.goods += count


def move(origin, target, count):
    taken = origin.take(count)
    try:
        target.add(taken)
    except Full:
        origin.goods += taken
    except PermissionError:
        if origin.goods + taken > ROOM // 2:
            origin.goods = max(origin.goods, ROOM // 2)  # FAULT: the rest is lost
        else:
            origin.goods += taken


stores = [Store(8), Store(8), Store(8)]
time.sleep(0.5)
for _ in range(12):
    time.sleep(0.15)
    stores[draw(3)].closed = draw(6) == 0
    origin, target = draw(3), draw(3)
    if origin != target:
        move(stores[origin], stores[target], 1 + draw(5))
time.sleep(1)
sys.exit(sum(store.goods for store in stores) != 24)
