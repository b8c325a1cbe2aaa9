"""Fails by the toss of a coin, whatever it has run before; no code decides it."""

import os
import sys
import time


def one():
    return 1


def two():
    return 2


def three():
    return 3


def four():
    return 4


time.sleep(0.5)
for _ in range(3):
    time.sleep(0.5)
    for some in (one, two, three, four):
        if os.urandom(1)[0] < 100:
            some()
time.sleep(1)
sys.exit(os.urandom(1)[0] < 64)
