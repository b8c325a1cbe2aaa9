"""Terminals: a shell in a branch to type in, and a session that replays."""

from __future__ import annotations

import functools
from collections.abc import Callable
from hashlib import md5
from pathlib import Path

import pytest
from busy import BUSY

import branchpoint as bp
from branchpoint.errors import BranchpointError, ContainerError
from branchpoint.machine.computer import Computer
from branchpoint.soak import Subject, soak

CTRL_C, ESCAPE = "\x03", "\x1b"


def opened(run: bp.Recording, container: str = "a.1", **size: int) -> bp.Terminal:
    """A terminal in a branch from second 1, whose shell waits for a command."""
    terminal = run.at(1).branch().terminal(container, **size).settle()
    assert terminal.screen[0].endswith("#")
    return terminal


def said(terminal: bp.Terminal, command: str) -> list[str]:
    """The lines between a command and the next prompt."""
    before = len(terminal.transcript.splitlines())
    terminal.type(command + "\n").settle()
    return terminal.transcript.splitlines()[before:-1]


def session(run: bp.Recording) -> bp.Terminal:
    """One of each thing that a user can do in a terminal."""
    terminal = opened(run)
    for keys in ("ps\n", "sleep 100\n", CTRL_C, "od -N4 -tx1 /dev/urandom\n", "ec", "ho\t\x7f x\n"):
        terminal.type(keys).advance(0.13)
    terminal.resize(30, 100).settle()
    terminal.type("top\n").advance(4)
    terminal.type("q").settle()
    terminal.type("seq 1 2000\n").advance(0.031)
    return terminal


def test_it_is_a_terminal_with_a_shell(idle: bp.Recording) -> None:
    terminal = opened(idle)
    assert said(terminal, "echo $((6 * 7))") == ["42"]
    assert said(terminal, "tty; stty size; echo $TERM") == ["/dev/pts/0", "24 80", "xterm-256color"]
    assert said(terminal, "hostname; id -u") == ["a-1", "0"]
    assert said(terminal, "tcpdump --version | head -n1 | cut -d' ' -f1") == ["tcpdump"]
    assert terminal.running and terminal.exit_code is None and not terminal.dead_container
    terminal.type("exit 3\n").settle()
    assert not terminal.running and terminal.exit_code == 3
    with pytest.raises(BranchpointError, match="has ended"):
        terminal.type("x")


def test_the_guest_itself_has_one_too(idle: bp.Recording) -> None:
    terminal = opened(idle, "")
    assert said(terminal, "hostname") == ["branchpoint"]
    assert terminal.close().exit_code == 129


def test_control_c_interrupts_and_nothing_else_does(idle: bp.Recording) -> None:
    terminal = opened(idle)
    terminal.type("sleep 1000\n").advance(5)
    assert terminal.screen[1:] == [""] * 23
    terminal.type(CTRL_C).settle()
    assert terminal.screen[1].startswith("^C") and terminal.screen[2].endswith("#")
    assert said(terminal, "echo $?") == ["130"]


def test_programs_see_it_resized(idle: bp.Recording) -> None:
    terminal = opened(idle, rows=10, columns=40)
    assert said(terminal, "stty size") == ["10 40"]
    script = "trap 'echo now $(stty size)' WINCH; sleep 1; sleep 1"
    terminal.type(f'sh -c "{script.replace("$", chr(92) + "$")}"\n').advance(0.5)
    terminal.resize(50, 132).settle(2)
    assert terminal.size == (50, 132) and len(terminal.screen) == 50
    assert "now 50 132" in terminal.screen
    for rows, columns in ((0, 80), (24, 1001), (-1, 2)):
        with pytest.raises(BranchpointError, match="cannot have"):
            terminal.resize(rows, columns)


def test_an_editor_draws_on_the_screen(idle: bp.Recording) -> None:
    terminal = opened(idle)
    terminal.type("busybox vi /srv/f\n").settle()
    assert terminal.screen[1:23] == ["~"] * 22
    terminal.type("ifirst\nzweite Zeile: äöü 漢字").settle()
    assert terminal.screen[:3] == ["first", "zweite Zeile: äöü 漢字", "~"]
    terminal.type(ESCAPE).settle().type(":wq\n").settle()
    assert (
        terminal.branch.extract_file("/srv/f", "a.1") == "first\nzweite Zeile: äöü 漢字\n".encode()
    )
    terminal.type("top\n").settle(1)
    assert terminal.screen[0].startswith("top -")
    assert any(line.split()[-1:] == ["top"] for line in terminal.screen)


def test_a_dead_container_has_one(idle: bp.Recording) -> None:
    branch = idle.at(1).branch()
    branch.control("kill", "c.1")
    terminal = branch.wait(0.1).terminal("c.1").settle()
    assert terminal.dead_container
    assert said(terminal, "tty; ip -o addr | grep -c 10.89") == ["/dev/pts/0", "1"]
    assert terminal.close().exit_code == 129


def test_nothing_of_much_output_is_lost(idle: bp.Recording) -> None:
    terminal = opened(idle)
    terminal.type("stty -opost; yes 0123456789abcde | head -c 3200000; echo end\n").settle(1, 60)
    assert terminal.output.count(b"0123456789abcde\n") == 200_000
    assert terminal.output.count(b"end\n") == 1
    assert len(terminal.transcript) < 1_000_000


def test_what_is_typed_ahead_waits_for_its_reader(idle: bp.Recording) -> None:
    terminal = opened(idle)
    terminal.type("stty raw -echo; sleep 2; head -c 300000 | md5sum; stty sane\n").advance(0.5)
    data = bytes(range(200)) * 1500
    terminal.type(data).settle(3)
    assert md5(data).hexdigest() in terminal.transcript


def test_no_such_container_is_an_error(idle: bp.Recording) -> None:
    with pytest.raises(ContainerError, match=r"d\.1"):
        idle.at(1).branch().terminal("d.1")


def test_terminals_of_one_branch_do_not_mix(idle: bp.Recording) -> None:
    one = opened(idle)
    two = one.branch.terminal("b.1").settle()
    one.type("hostname\n")
    two.type("hostname\n").settle()
    assert [t.transcript.splitlines()[1] for t in (one, two)] == ["a-1", "b-1"]
    assert said(two, "tty") == ["/dev/pts/0"]
    assert [t.container for t in one.branch.terminals] == ["a.1", "b.1"]


def test_a_session_goes_on_differently_in_two_branches(idle: bp.Recording) -> None:
    terminal = opened(idle)
    terminal.type("x=1; ").settle()
    (left,) = terminal.branch.end.branch().terminals
    (right,) = terminal.branch.end.branch().terminals
    assert left.output == right.output == terminal.output
    left.type("echo left $x\n").settle()
    right.type("echo right $x\n").settle()
    assert "left 1" in left.transcript and "right 1" in right.transcript
    assert "left" not in right.transcript + terminal.transcript


def test_the_same_keys_at_the_same_instants_give_the_same_bytes(idle: bp.Recording) -> None:
    one, two = session(idle), session(idle)
    assert one.output == two.output
    assert one.branch._history.shown == two.branch._history.shown
    assert one.transcript == two.transcript
    other = idle.at(1).branch().wait(0.01).terminal("a.1").settle()
    other.type("od -N4 -tx1 /dev/urandom\n").settle()
    (line,) = [line for line in other.screen if line.startswith("0000000")]
    assert line not in one.transcript


def test_a_session_is_replayed_by_the_id_of_its_branch(
    small_path: Path, copy_of: Callable[[Path], Path]
) -> None:
    path = copy_of(small_path)
    with bp.open(path) as run:
        terminal = run.at(1).branch().terminal("client").settle()
        terminal.type("cat /proc/uptime; od -N8 -tx1 /dev/urandom\n").advance(0.4)
        terminal.resize(30, 100).type("stty size\n").settle()
        output, transcript, id = terminal.output, terminal.transcript, terminal.branch.id
    with bp.open(path) as run:
        (again,) = run.at(id).branch().terminals
        assert again.output == output and again.transcript == transcript
        assert again.size == (30, 100) and again.running
        assert said(again, "echo on") == ["on"]


@pytest.mark.long
def test_a_session_replays_identically_under_disturbance(idle: bp.Recording) -> None:
    branch = session(idle).branch
    place = branch._history.point(branch.start.at)
    replayer = idle.replayer
    state = replayer.bring(branch._history, place).computer.capture()
    start = functools.partial(
        Computer, replayer.snapshot.spec, template=replayer.snapshot.template, pool=replayer.pool
    )
    subject = Subject("terminal", branch._history, replayer.pool, start, state, branch.end.at)
    report = soak(subject, 15, busy=BUSY)
    assert report.replays == 15
    assert report.divergences == []


def test_connections_one_second_before_the_crash(failing_aria: Path) -> None:
    with bp.open(failing_aria) as run:
        crash = run.moments("exit")[-1]
        terminal = crash.rewind(seconds=1).branch().terminal("standby.replicator.1").settle()
        (head,) = said(terminal, "ss -tn")
        assert head.split()[:2] == ["State", "Recv-Q"]
        lines = said(terminal, "ss -tan")
        assert any(line.startswith("TIME-WAIT") and ":7400" in line for line in lines)
        terminal.branch.wait(2)
        assert not terminal.running, "its container has crashed meanwhile"
