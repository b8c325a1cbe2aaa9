"""Very many and very large events at once: each block on disk can be read again."""

from __future__ import annotations

from pathlib import Path

import pytest
from recordings import event, head, make

from branchpoint.events import eventfile
from branchpoint.events.event import Event
from branchpoint.guest import wire
from branchpoint.timeline.directory import RecordingFiles

LONG = wire.LONGEST_LINE


def lines(count: int) -> list[Event]:
    return [event(n / 1000, f"{n} " + "x" * LONG) for n in range(count)]


def fields(count: int) -> list[Event]:
    """A program with root rights in the guest can make the agent send this."""
    told = {"text": "short", "more": "y" * LONG}
    return [event(n / 1000, str(n), type="container.x", fields=told) for n in range(count)]


@pytest.mark.parametrize("made", [lines(1500), fields(1500)], ids=["lines", "fields"])
def test_a_hundred_megabytes_at_once_are_there_again(tmp_path: Path, made: list[Event]) -> None:
    with RecordingFiles.create(tmp_path / "run.branchpoint", head()) as files:
        files.events.add(made)
        files.save(head())
    with RecordingFiles.open(tmp_path / "run.branchpoint") as files:
        log, gaps = files.load_events()
        assert gaps == [] and files.warnings == []
        columns = log.columns()
        assert [columns.event(number) for number in range(len(columns))] == made


def test_texts_that_an_older_version_made_are_in_the_words_of_today(tmp_path: Path) -> None:
    code = {"code": "1", "signal": "0", "oom": "0", "asked": "0"}
    fault = {"type": "kill", "target": "db.1", "why": "chance"}
    kept = [
        event(1, "pid=7", type="container.start", fields={"pid": "7"}),
        event(2, "code=1 signal=0", type="container.exit", fields=code),
        event(3, "a kill", type="fault.start", fields=fault),
        event(4, "pid=7", fields={"pid": "7"}),
        event(5, "pid=7", type="error", fields={"about": "pid 7"}),
    ]
    with RecordingFiles.create(tmp_path / "run.branchpoint", head()) as files:
        files.events.add(kept)
        files.save(head())
    with RecordingFiles.open(tmp_path / "run.branchpoint") as files:
        log, _ = files.load_events()
    assert log.columns().texts == [
        "pid 7", "exited with 1, on its own", "kill db.1: chance", "pid=7", "pid=7"
    ]  # fmt: skip


def test_events_of_a_gap_fit_into_as_many_blocks_as_it_had(tmp_path: Path) -> None:
    with RecordingFiles.create(tmp_path / "run.branchpoint", head()) as files:
        files.events.add(lines(40))
        files.save(head())
        count = files.events.count
        assert count > 1
        files.events.fill(eventfile.Gap(0, count - 1, 0, None), lines(40))
        log, gaps = files.events.load(count)
        assert gaps == [] and len(log) == 40


def test_a_list_of_nothing_but_empty_lines_is_read_without_many_words(tmp_path: Path) -> None:
    path = make(tmp_path / "run.branchpoint", 1)
    with (path / "futures.jsonl").open("ab") as file:
        file.write(b"\n" * 1_000_000)
    with RecordingFiles.open(path) as files:
        assert list(files.futures) == ["b1"]
        assert files.warnings == []
