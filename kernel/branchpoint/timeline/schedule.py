"""``run.schedule(a, b)``: which thread had the processor when, between two moments.

The stretch is run once more, with a plugin that tells each context switch. The kernel notes when a
thread gets the processor by a clock of its own, which began when the kernel did. How far it is from
virtual time follows from where the machine was stopped: each switch came after one stop and before
the next. It is known to a few microseconds then, and so are the instants here.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, overload

from branchpoint import files, progress
from branchpoint.clock import SECOND, format_vtime
from branchpoint.errors import BranchpointError, ImageError, RecordingError
from branchpoint.events import tables
from branchpoint.events.listing import inert
from branchpoint.guest import image, wire
from branchpoint.machine.watching.ran import Covered
from branchpoint.machine.watching.switches import Fields, Turn
from branchpoint.programs.btf import Types
from branchpoint.timeline.moment import Moment
from branchpoint.timeline.replaying.player import Player

if TYPE_CHECKING:
    import pandas as pd

_Batch = tuple[int, int, Sequence[Turn]]
"""The turns between two stops, whose instants come first (ns)."""
STEP = 5_000_000
"""ns between two stops."""
_LONGEST = 600 * SECOND
_SHOWN = 20  # threads in a table
_COMMAND = 64  # characters, with those that a terminal would act on written out
_FIELDS = {
    "thread": "task_struct.pid",
    "process": "task_struct.tgid",
    "command": "task_struct.comm",
    "groups": "task_struct.cgroups",
    "arrival": "task_struct.sched_info.last_arrival",
    "ran": "task_struct.se.exec_start",
    "group": "css_set.dfl_cgrp",
    "node": "cgroup.kn",
    "name": "kernfs_node.name",
}


@dataclass(frozen=True)
class Slice:
    """One thread has the processor."""

    start: int
    """Absolute ns."""
    end: int
    thread: int
    """Its number in the machine."""
    process: int
    """That of its process."""
    command: str
    """The program's name, at most 15 bytes of it."""
    container: str
    """Empty for the machine's own: the agent, the kernel's threads, commands in the machine."""

    @property
    def length(self) -> int:
        """ns."""
        return self.end - self.start


class Schedule(Sequence[Slice]):
    """Who had the processor between two moments, in the order of time.

    What is missing between two slices is idle time. Interrupts count for whom they interrupt.
    ``frame()`` has all slices as a table, ``trace(path)`` writes them for Perfetto.
    """

    def __init__(self, start: Moment, end: Moment, slices: Iterable[Slice], whole: bool) -> None:
        self.start = start
        self.end = end
        self.whole = whole
        """False: there were more switches than can be told, and some are missing."""
        self._slices = list(slices)

    @overload
    def __getitem__(self, which: int) -> Slice: ...
    @overload
    def __getitem__(self, which: slice) -> list[Slice]: ...
    def __getitem__(self, which: int | slice) -> Slice | list[Slice]:
        return self._slices[which]

    def __len__(self) -> int:
        return len(self._slices)

    def __iter__(self) -> Iterator[Slice]:
        return iter(self._slices)

    def at(self, moment: Moment | float) -> Slice | None:
        """Who has the processor at a moment, or at so many virtual seconds; None: nobody."""
        at = self.start.run.at(moment).at if not isinstance(moment, Moment) else moment.at
        place = bisect_right(self._slices, at, key=lambda each: each.start) - 1
        found = self._slices[place] if place >= 0 else None
        return found if found and at < found.end else None

    @property
    def busy(self) -> float:
        """The share of the time in which somebody had the processor, 0 to 1."""
        return sum(each.length for each in self) / (self.end.at - self.start.at)

    def frame(self) -> pd.DataFrame:
        """All slices: vtime and length in virtual seconds, thread, process, command, container."""
        import pandas as pd

        origin = self.start.run.origin
        rows = [
            ((s.start - origin) / SECOND, s.length / SECOND, s.thread, s.process, s.command,
             s.container)
            for s in self
        ]  # fmt: skip
        return pd.DataFrame(
            rows, columns=["vtime", "seconds", "thread", "process", "command", "container"]
        )

    def entries(self, first: int = 1) -> Iterator[dict[str, object]]:
        """As entries of Chrome's trace format, in virtual time: a process for each container,
        numbered from ``first``, with a lane for each thread.
        """
        origin, tracks = self.start.run.origin, dict[str, int]()
        for each in self:
            owner = each.container or "the machine"
            if owner not in tracks:
                tracks[owner] = len(tracks) + first
                name = {"name": "process_name", "ph": "M", "pid": tracks[owner], "tid": 0}
                yield {**name, "args": {"name": owner}}
            when = {"ts": (each.start - origin) / 1000, "dur": each.length / 1000}
            about = {"vtime": format_vtime(each.start - origin), "process": each.process}
            lane = {"ph": "X", "pid": tracks[owner], "tid": each.thread, "name": each.command}
            yield {**lane, **when, "args": about}

    def trace(self, path: Path | str) -> Path:
        """Write it as a trace that Perfetto opens: a lane for each thread, times in virtual time.

        ``bp.export(run, path, schedule=...)`` writes it together with everything else.

        :raises OSError: when the file cannot be written.
        """
        target = Path(path)
        with files.publish(target) as unfinished:
            unfinished.write_text(json.dumps({"traceEvents": list(self.entries())}))
        return target

    def _table(self) -> list[tuple[str, ...]]:
        used: dict[tuple[str, str], list[int]] = {}
        for each in self:
            entry = used.setdefault((each.container, each.command), [0, 0, 0])
            entry[0] += each.length
            entry[1] += 1
            entry[2] = max(entry[2], each.length)
        total = self.end.at - self.start.at
        ranked = sorted(used.items(), key=lambda item: (-item[1][0], item[0]))[:_SHOWN]
        rows = [
            (container or "(machine)", command, f"{100 * time / total:.2f} %", f"{time / 1e6:.3f}",
             str(turns), f"{longest / 1e6:.3f}")
            for (container, command), (time, turns, longest) in ranked
        ]  # fmt: skip
        return [("container", "command", "of the time", "ms", "turns", "longest ms"), *rows]

    @property
    def _head(self) -> str:
        span = (self.end.at - self.start.at) / SECOND
        missing = "" if self.whole else "; some switches are missing, there were too many"
        return (
            f"{len(self)} turns in {span:g} virtual s from {self.start.id}, "
            f"the processor busy {100 * self.busy:.1f} % of the time{missing}"
        )

    def __repr__(self) -> str:
        table = self._table()
        widths = [max(len(row[i]) for row in table) for i in range(len(table[0]))]
        lines = (
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in table
        )
        return "\n".join([self._head, *lines])

    def _repr_html_(self) -> str:
        titles, *rows = self._table()
        return f"<p>{self._head}</p>{tables.html(titles, rows)}"


def schedule(start: Moment, end: Moment) -> Schedule:
    """Who had the processor from ``start`` to ``end``, which lies in the same history.

    :raises BranchpointError: when it does not, or they are too far apart.
    :raises RecordingError: when the guest's kernel is not on this computer.
    """
    if start.run.files is not end.run.files or not end._history.holds(start._history, start._point):
        raise BranchpointError(
            f"{end.id} does not come after {start.id}: they are in different histories",
            "choose two moments of one branch, or of the recording",
        )
    if not 0 < end.at - start.at <= _LONGEST:
        raise BranchpointError(
            f"from {start.id} to {end.id} is no stretch of at most {_LONGEST // SECOND} virtual s",
            "give the earlier moment first",
        )
    run = start.run
    covered = Covered(switches=fields_of(run.manifest.machine.guest_image))
    replayer = run.replayer
    with replayer.lock:
        there = replayer.bring(end._history, start._point)
        state, place = there.computer.capture(), there.place
        player = replayer.new_player(covered)
    try:
        player.restore(end._history, place, state)
        batches, whole = _followed(player, end.at)
    finally:
        player.close()
    names = {container.name for container in run.manifest.containers}
    return Schedule(start, end, _slices(batches, start.at, end.at, names), whole)


def _followed(player: Player, end: int) -> tuple[list[_Batch], bool]:
    """The turns between each two stops, up to ``end``, and whether these are all."""
    found: list[_Batch] = []
    whole, begin = True, player.place.at
    with player.computer.watching() as watchers:
        watchers.begin()
    with progress.task("following the processor", (end - begin) / SECOND, "virtual s") as task:
        while player.place.at < end:
            player.take_inputs()
            before = player.place.at
            player.run_to(min(end, before + STEP, player.next_input()), wire.DRAIN)
            player.mailbox.drain()
            with player.computer.watching() as watchers:
                ran = watchers.take()
            found.append((before, player.place.at, ran.turns))
            whole = whole and not ran.untold
            task.update((player.place.at - begin) / SECOND)
    return found, whole


def _slices(batches: list[_Batch], start: int, end: int, names: set[str]) -> Iterator[Slice]:
    """Turns as slices in virtual time; who had the processor at first is not known."""
    early = [begin - turn.at for begin, _, turns in batches for turn in turns]
    late = [stop - turn.at for _, stop, turns in batches for turn in turns]
    if not early:
        return
    ahead = (max(early) + min(late)) // 2
    turns = [turn for _, _, each in batches for turn in each]
    starts = [min(max(turn.at + ahead, start), end) for turn in turns]
    for turn, first, last in zip(turns, starts, [*starts[1:], end], strict=True):
        if turn.thread and last > first:
            container = turn.group if turn.group in names else ""
            command = inert(turn.command, _COMMAND)
            yield Slice(first, last, turn.thread, turn.process, command, container)


@lru_cache(maxsize=8)
def fields_of(digest: str) -> Fields:
    """Where things are in the kernel of a guest image."""
    guest = image.find(digest)
    if guest is None:
        raise RecordingError(
            f"the guest image {digest} of the recording is not on this computer",
            "see: branchpoint machine",
        )
    switch = guest.kallsyms.get(image.SYMBOLS[0], 0)
    try:
        types = Types(guest.kernel.read_bytes())
        offsets = {name: types.offset(path) for name, path in _FIELDS.items()}
    except ImageError as error:
        raise RecordingError(
            f"who runs cannot be told of this recording: {error.message}",
            "recordings made with a newer guest image can",
        ) from error
    return Fields(switch, **offsets)
