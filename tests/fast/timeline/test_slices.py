"""From what the kernel noted at context switches to slices in virtual time."""

from __future__ import annotations

import pytest

from branchpoint.machine.watching.switches import Turn
from branchpoint.timeline.schedule import Slice, _slices

AHEAD = 7_000_000  # of virtual time, before the kernel's clock


def turn(at: int, thread: int, group: str = "a.1") -> Turn:
    """A thread gets the processor at a virtual time (ns)."""
    return Turn(at - AHEAD, thread, thread, f"t{thread}", group if thread else "")


def slices(batches: list[tuple[int, int, list[Turn]]], end: int = 40_000) -> list[Slice]:
    return list(_slices(batches, 10_000, end, {"a.1"}))


def test_the_clocks_are_held_together_by_the_stops() -> None:
    found = slices([
        (10_000, 20_000, [turn(10_002, 1), turn(19_999, 2)]),
        (20_000, 40_000, [turn(20_001, 0), turn(30_000, 3)]),
    ])  # fmt: skip
    assert [each.thread for each in found] == [1, 2, 3]
    assert found[0].start == pytest.approx(10_002, abs=2)
    assert found[1].end == pytest.approx(20_001, abs=2)
    assert (found[2].end, found[0].end) == (40_000, found[1].start)


def test_nobody_has_idle_time_and_nobody_else_has_what_is_a_containers() -> None:
    found = slices([
        (10_000, 15_001, [turn(15_000, 1)]),
        (15_001, 17_000, [turn(16_000, 0)]),
        (17_000, 40_000, [turn(17_001, 2, "x")]),
    ])  # fmt: skip
    assert [(each.thread, each.container) for each in found] == [(1, "a.1"), (2, "")]
    assert sum(each.length for each in found) == pytest.approx(1_000 + 22_999, abs=4)


def test_nothing_lies_outside_the_stretch() -> None:
    # Both came before the first stop by the kernel's clock, as far as that can be told.
    found = slices([(10_000, 10_002, [turn(9_998, 1), turn(10_001, 2)]), (10_002, 40_000, [])])
    assert all(10_000 <= each.start < each.end <= 40_000 for each in found)
    assert found[-1].thread == 2 and found[-1].end == 40_000
    assert slices([(10_000, 40_000, [])]) == []


def test_a_program_cannot_write_to_the_terminal_by_its_name() -> None:
    named = turn(10_001, 1)._replace(command="a\x1b[2J")
    (found,) = slices([(10_000, 10_002, [named]), (10_002, 40_000, [])])
    assert "\x1b" not in found.command and found.command.startswith("a")
