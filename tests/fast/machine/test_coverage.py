"""Which places of code are told, from the blocks that an emulator says it ran."""

from __future__ import annotations

import socket
import struct
import threading

import numpy as np
import pytest

from branchpoint.errors import MachineError
from branchpoint.machine.watching.coverage import MOST_BLOCKS, Coverage, places

NONE = 2**64 - 1
# Of each block: its first instruction, the branch at its end, what follows, where that leads.
LOOP = (10, 20, 22, 10)
BODY = (22, 30, 35, NONE)
CUT = (14, 20, 22, 10)
"""The loop again, from where the emulator had stopped in it."""
UNFINISHED = (10, NONE, NONE, NONE)


def told(*blocks: tuple[int, int, int, int]) -> list[int]:
    return places(np.array(blocks, np.uint64).reshape(-1, 4)).tolist()


def test_what_branches_lead_to_and_the_branches_themselves_are_places() -> None:
    assert told(LOOP, BODY) == [10, 20, 22, 30]
    assert told(BODY) == [30]  # how it got there is not known
    assert told() == []


def test_where_the_emulator_stopped_makes_no_difference() -> None:
    assert told(UNFINISHED, CUT, BODY) == told(LOOP, BODY) == told(LOOP, CUT, BODY)
    assert told(UNFINISHED) == []


def answering(*answers: bytes) -> Coverage:
    """A connection with an emulator that gives these answers, and then is gone."""
    ours, theirs = socket.socketpair()

    def serve() -> None:
        with theirs:
            for answer in answers:
                if theirs.recv(1):
                    theirs.sendall(answer)

    threading.Thread(target=serve, daemon=True).start()
    coverage = Coverage()
    coverage.attach(ours)
    return coverage


def answer(hits: list[int], blocks: list[tuple[int, int, int, int]], left_out: int = 0) -> bytes:
    head = struct.pack("<III", len(hits), len(blocks), left_out)
    return (
        head + np.array(hits, np.uint32).tobytes() + np.array(blocks, np.uint64).tobytes()
    )  # fmt: skip


def test_blocks_are_told_once_and_meant_by_number_from_then_on() -> None:
    coverage = answering(answer([0, 1], [LOOP, BODY]), answer([1], []), answer([2], [CUT], 5))
    assert coverage.take()[0].tolist() == [10, 20, 22, 30]
    assert coverage.take()[0].tolist() == [30]
    found, untold = coverage.take()
    assert found.tolist() == [20] and untold


def test_an_emulator_that_tells_too_much_is_not_believed() -> None:
    with pytest.raises(MachineError, match="more code than it may"):
        answering(struct.pack("<III", MOST_BLOCKS + 1, 0, 0)).take()
    with pytest.raises(MachineError, match="more code than it may"):
        answering(struct.pack("<III", 0, MOST_BLOCKS + 1, 0)).take()


def test_an_emulator_that_is_gone_is_an_error() -> None:
    with pytest.raises(ConnectionError):
        answering().take()
