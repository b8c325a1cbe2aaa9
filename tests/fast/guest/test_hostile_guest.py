"""What a program with root rights in the guest can make the agent send, and how it is handled.

Nothing it sends may cause an error that is not ours, or stop other events from being seen.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from guestwords import frame
from likelihoods import END, recording
from recordings import ORIGIN, SECOND, event

import branchpoint as bp
from branchpoint.errors import MachineError
from branchpoint.events.event import Event
from branchpoint.faults import telling
from branchpoint.guest import wire
from branchpoint.store.manifest import Input
from branchpoint.timeline.commands import terminal
from branchpoint.timeline.commands.process import Process
from branchpoint.timeline.commands.screen import Screen
from branchpoint.timeline.recording import Recording
from branchpoint.timeline.replaying.history import COMMAND, Point
from branchpoint.timeline.replaying.player import Player
from mutants.outbox import Memory

NUMBERS = ["x", "-1", "²", "٣", "9" * 5000, "", " 1", "1_0", "1e3"]


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Recording]:
    with recording(tmp_path / "run.branchpoint", [event(1, "ready")]) as made:
        yield made


def told(run: Recording, *events: Event) -> bp.Branch:
    """A branch in which this was sent."""
    branch = run.at(10).branch()
    branch._history.log.extend(events)
    branch._history.tip = Point(END, branch._history.tip.count)
    return branch


def said(type: str, **fields: str) -> Event:
    return event(12, source="process", stream="", container="", type=type, fields=fields)


@pytest.mark.parametrize("number", NUMBERS)
def test_an_exit_code_that_is_none(run: Recording, number: str) -> None:
    for name in ("code", "signal"):
        branch = told(run, said("process.exit", id="1", **{name: number}))
        process = Process(branch, 1, "true", "")
        assert (process.exit_code, process.signal) == (0, None)
        assert "exit 0" in repr(process)


@pytest.mark.parametrize(
    ("script", "ends", "remark"),
    [
        ("tail -f x", {"code": "137", "signal": "9"}, "its container, db.1, ended then"),
        ("top", {"code": "1"}, "top wants a terminal, and a command has none"),
        ("/usr/bin/vi /etc/hosts", {"code": "1"}, "branch.terminal('db.1') opens one"),
        ("top", {"code": "0"}, ""),
        ("false", {"code": "1"}, ""),
        ("sleep 9", {"code": "143", "signal": "15"}, ""),
    ],
)
def test_an_end_that_says_little_is_explained(
    run: Recording, script: str, ends: dict[str, str], remark: str
) -> None:
    end = event(12.01, "", source="life", type="container.exit", fields={"code": "1"})
    branch = told(run, said("process.exit", id="1", **ends), end)
    process = Process(branch, 1, script, "db.1")
    assert remark in process.remark and bool(remark) == bool(process.remark)
    assert remark in repr(process)


def test_who_killed_a_command_is_not_made_up(run: Recording) -> None:
    branch = told(run, said("process.exit", id="1", code="137", signal="9"))
    assert "killed at 12.000 s (signal 9), perhaps" in Process(branch, 1, "yes", "db.1").remark


def test_an_exit_of_nobody(run: Recording) -> None:
    branch = told(run, said("process.exit"), said("fault.start"), said("fault.end"))
    assert Process(branch, 1, "true", "").running
    assert branch.faults.active == []


@pytest.mark.parametrize("number", NUMBERS)
def test_a_fault_that_lasts_for_no_time(number: str) -> None:
    fields = {"type": "latency", "target": "db.1", "for": number, "params": f"delay={number}"}
    about, text = telling.told(fields)
    assert about == "db.1" and text.startswith("latency db.1")


def test_a_fault_told_as_the_agent_tells_it() -> None:
    fields = {"type": "latency", "target": "db.1", "for": "1500000000",
              "params": "delay=137000 jitter=0"}  # fmt: skip
    assert telling.told(fields)[1] == "latency db.1: delay 137ms, jitter 0s, for 1.5s"


# -- raw output, instants, positions


def output(kind: int, source: str, content: bytes, at: int = 0) -> bytes:
    return frame(kind, f"{source}\0out\0".encode() + content, at)


def test_raw_output_of_no_command_is_refused_and_what_follows_is_read(run: Recording) -> None:
    branch = run.start.branch()
    memory = Memory()
    player = Player(memory)  # type: ignore[arg-type]
    player.mailbox.skip()
    now = ORIGIN + SECOND
    player.place = Point(now, branch._history.tip.count)
    for source in ("container/db.1", "kernel", "agent"):
        memory.say(output(wire.Kind.RAW, source, b"x", now), now)
        with pytest.raises(MachineError, match="raw output of no command"):
            run.replayer._collect(player, branch._history, None)
    memory.say(output(wire.Kind.RAW, "process/7", b"x", now), now)
    memory.say(output(wire.Kind.LINE, "kernel", b"fine", now), now)
    (line,) = run.replayer._collect(player, branch._history, None)
    assert line.text == "fine"
    assert branch._history.raw[7]["out"] == b"x"


@pytest.mark.parametrize("early", [ORIGIN + SECOND // 2, ORIGIN + SECOND])
def test_nothing_is_said_before_what_was_said_before(run: Recording, early: int) -> None:
    """The recorded line at 1 s is part of the branch's past."""
    branch = run.at(10).branch()
    memory = Memory()
    player = Player(memory)  # type: ignore[arg-type]
    player.place = Point(ORIGIN + 12 * SECOND, branch._history.tip.count)
    before = len(branch.events)
    memory.say(output(wire.Kind.LINE, "kernel", b"x", early), player.place.at)
    with pytest.raises(bp.DivergenceError, match="does not say what it said"):
        run.replayer._collect(player, branch._history, None)
    assert len(branch.events) == before
    assert memory.closed


# -- terminals


def test_a_terminal_asked_for_by_what_is_no_command(run: Recording) -> None:
    """Inputs of a recording that somebody else has made."""
    branch = run.at(10).branch()
    for data in (
        b"terminal\0x\0db.1\x0024\x0080\x000\0", b"terminal\0",
        b"terminal\x001\0\xff\x0024\x0080\0", b"terminal\x001\0db.1\x00\xc2\xb2\x0080\0",
        b"terminal\x002\0db.1\x0099999\x0080\x000\0", b"resize\0\0\0\0",
        b"resize\x001\x000\x000\0", b"resize\x001\x009999\x009999\0",
    ):  # fmt: skip
        branch._history.add(Input(at=branch.end.at, kind=COMMAND, data=data))
    assert branch.terminals == []
    good = wire.terminal(3, "db.1", rows=30, columns=100)
    branch._history.add(Input(at=branch.end.at, kind=COMMAND, data=good))
    again = wire.resize(3, 40, 120)
    branch._history.add(Input(at=branch.end.at, kind=COMMAND, data=again))
    assert (branch.terminals[0].number, branch.terminals[0].container) == (3, "db.1")
    inside = wire.terminal(4)
    branch._history.add(Input(at=branch.end.at, kind=COMMAND, data=inside))
    found, other = branch.terminals
    assert other.container == ""
    assert (found.number, found.container, found.size) == (3, "db.1", (40, 120))
    assert terminal.Terminal(branch, 9, "").size == (24, 80)


def test_a_plan_of_faults_that_is_no_text(run: Recording) -> None:
    branch = run.at(10).branch()
    plan = Input(at=branch.end.at, kind="fault", data=b"faults\0kind \xff 1 2 3\n\0")
    branch._history.add(plan)
    assert "\ufffd" in repr(branch.faults.settings)


def test_ids_of_faults_with_thousands_of_digits(run: Recording) -> None:
    branch = run.at(10).branch()
    data = b"fault\0b" + b"9" * 5000 + b"\0kill\0db.1\0\x000\0\0\0"
    branch._history.add(Input(at=branch.end.at, kind="fault", data=data))
    assert branch.faults.kill("db.1").id == "b1"


def test_a_screen_told_to_go_far_away() -> None:
    screen = Screen(5, 20)
    screen.feed(b"\x1b[" + b"9" * 4000 + b";" + b"9" * 50 + b"Hx")
    assert screen.lines[4].endswith("x")
