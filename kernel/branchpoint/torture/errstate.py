"""A probe that others wrote: numpy says that a multiplication overflowed, or it does not.

errstate.py NUMBER COUNT: as the probes in C, it takes turns. It runs in the machine.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np

TURN = 0.040  # s
REST = 0.012  # of a turn, in which no round begins


def wait_for_turn(number: int, count: int) -> None:
    """Sleep until the processor is this probe's."""
    now = time.monotonic()
    since = (now - number * TURN) % (count * TURN)
    if since >= TURN - REST:
        time.sleep(count * TURN - since)


def main(number: int, count: int) -> None:
    """Overflow once in many multiplications, again and again."""
    numbers = np.full(200000, 1e10)
    numbers[0] = 1e308
    Path("/run/ready").touch()
    turn = 0
    while True:
        wait_for_turn(number, count)
        turn += 1
        try:
            with np.errstate(over="raise"):
                numbers * 10.0
        except FloatingPointError:
            print(f"{turn}: kept", flush=True)
        else:
            print(f"{turn}: LOST: an overflow", flush=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
