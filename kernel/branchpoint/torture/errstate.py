"""The probe that others wrote: numpy says that a multiplication overflowed, or it does not.

errstate.py NUMBER COUNT: as the probes in C, it takes turns.
"""

import sys
import time

import numpy as np

TURN = 0.040  # s
REST = 0.012  # of a turn, in which no round begins


def wait_for_turn(number: int, count: int) -> None:
    now = time.monotonic()
    since = (now - number * TURN) % (count * TURN)
    if since >= TURN - REST:
        time.sleep(count * TURN - since)


number, count = map(int, sys.argv[1:])
a = np.full(200000, 1e10)
a[0] = 1e308
round_ = 0
while True:
    wait_for_turn(number, count)
    round_ += 1
    try:
        with np.errstate(over="raise"):
            a * 10.0
    except FloatingPointError:
        print(f"{round_}: kept", flush=True)
    else:
        print(f"{round_}: LOST: an overflow", flush=True)
