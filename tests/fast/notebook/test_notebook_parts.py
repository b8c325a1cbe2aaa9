"""Completion and the choice of a recording, without a kernel and without a machine."""

from __future__ import annotations

import inspect
import os
from pathlib import Path
from types import SimpleNamespace

import pytest
from recordings import ORIGIN, event

from branchpoint import showing
from branchpoint.errors import BranchpointError, RecordingError
from branchpoint.events import excerpt
from branchpoint.events.event import Event, EventLog, EventSet
from branchpoint.notebook import printing, session
from branchpoint.notebook.language import addresses, completion
from branchpoint.timeline.commands.process import Process

CONTAINERS = ["primary.tip-retransmitter.1", "standby.replicator.1"]


@pytest.fixture
def one_recording(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in for an open recording: only names and events are used here."""
    log = EventLog()
    log.append(Event(at=1, source="life", type="container.exit", container=CONTAINERS[1]))
    log.append(Event(at=2, source="container", container=CONTAINERS[0], text="line"))
    run = SimpleNamespace(
        manifest=SimpleNamespace(containers=[SimpleNamespace(name=name) for name in CONTAINERS]),
        events=EventSet(log.columns()),
    )
    monkeypatch.setattr(completion, "_recordings", lambda namespace: [run])


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("container = 'sta", CONTAINERS[1:]),
        ('container="', CONTAINERS),
        ("events.where(container=['pri", CONTAINERS[:1]),
        ("bash(     ).run(branch, 'pri", CONTAINERS[:1]),
        ("bash(     ).run_in_background({ branch, 'st", CONTAINERS[1:]),
        ("%%bash --branch b --container ", CONTAINERS),
        ("%%bash --container=standby.", CONTAINERS[1:]),
        ("container = 'nothing", []),
        ("run.events.where(type='con", ["container.exit"]),
        ("run.moments('", ["exit", "log"]),
        ("branch.wait_until('exit:st", CONTAINERS[1:]),
        ("bp.record('c.yaml', until='log:", CONTAINERS),
        ("branch.wait_until({until: 'event:con", ["container.exit"]),
        ("print('sta", []),
        ("container = sta", []),
        ("subprocess.run('sta", []),
    ],
)
def test_completion_knows_the_recordings_names(
    one_recording: None, line: str, expected: list[str]
) -> None:
    result = completion._complete(line, {})
    assert [item.text for item in result["completions"]] == expected
    if expected:
        assert result["suppress"] is True
        assert line.endswith(result["matched_fragment"])


def test_the_recording_is_the_named_or_the_newest_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(session.VARIABLE, raising=False)
    with pytest.raises(RecordingError, match=r"no recording here"):
        session.find_recording()
    (tmp_path / "z.bpz").touch()
    assert session.find_recording().name == "z.bpz", "a bundle, where there is nothing else"
    for age, name in enumerate(["b.branchpoint", "a.branchpoint", ".hidden.branchpoint"]):
        (tmp_path / name).mkdir()
        os.utime(tmp_path / name, (1000, 1000 - age))
    assert session.find_recording().name == "b.branchpoint"
    os.utime(tmp_path / "a.branchpoint", (2000, 2000))
    assert session.find_recording().name == "a.branchpoint"
    monkeypatch.setenv(session.VARIABLE, "elsewhere/c.branchpoint")
    assert session.find_recording() == Path("elsewhere/c.branchpoint")
    assert session.find_recording("d.branchpoint") == Path("d.branchpoint")


@pytest.mark.parametrize(
    ("given_", "words"),
    [
        ({"/a", "/b"}, "path is given twice"),
        ({"moment": 1}, "path is missing"),
        ({"moment": 1, "path": "/x", "pth": 1}, "pth is not an argument"),
        ({3}, "not a moment, a path or a container"),
    ],
)
def test_wrong_arguments_are_named(
    monkeypatch: pytest.MonkeyPatch, given_: object, words: str
) -> None:
    with pytest.raises(BranchpointError, match=words):
        session._arguments(given_, {}, needed=("moment", "path"), possible=("container",))


class Written(Process):
    """A process whose output a test writes."""

    def __init__(self) -> None:
        self.text = ""
        self.over = False
        self.said = ""

    @property
    def events(self) -> EventSet:
        log = EventLog()
        lines = self.text.removesuffix("\n").split("\n") if self.text else []
        log.extend(event(22.5, line, source="process") for line in lines)
        return EventSet(log.columns(), origin=ORIGIN)

    running = property(lambda self: not self.over)
    remark = property(lambda self: self.said)


@pytest.fixture(autouse=True)
def nothing_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    """No process that another test of this process printed is followed here."""
    monkeypatch.setattr(printing, "_followed", {})


def test_a_printed_process_is_followed_to_the_end_of_the_cell(
    capsys: pytest.CaptureFixture[str],
) -> None:
    process = Written()
    printing.print(process)
    assert capsys.readouterr().out == ""
    process.text = "one\ntwo\n"
    printing._finish(None)
    assert capsys.readouterr().out == "one\ntwo\n"
    process.text += "later\n"
    printing._finish(None)
    assert capsys.readouterr().out == ""


def test_an_end_that_says_little_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(showing, "_say", said.append)
    process = Written()
    printing.print(process)
    process.over, process.said = True, "it was killed"
    printing._finish(None)
    assert said == ["it was killed"]
    printing.print(process)
    assert said == ["it was killed"] * 2


def test_vtime_stands_beside_the_guests_clock(capsys: pytest.CaptureFixture[str]) -> None:
    process = Written()
    process.text = (
        "listening on eth0\n21:58:10.753533 IP 10.89.5.71 > 10.89.5.61\n\t0x0000:  4500\n"
    )
    process.over = True
    printing.print(process)
    shown = (
        "listening on eth0\n22.500 s  21:58:10.753533 IP 10.89.5.71 > 10.89.5.61\n\t0x0000:  4500\n"
    )
    assert capsys.readouterr().out == shown
    assert process.output == process.text, "what a program reads is what was written"


def test_of_long_output_head_and_tail_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    process = Written()
    printing.print(process)
    process.text = "".join(f"line {n}\n" for n in range(10_000))
    printing._finish(None)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 121
    assert lines[0] == "line 0" and lines[-1] == "line 9999"
    assert lines[80] == "… 9880 more lines, in the process's .output …"
    process.over = True
    printing.print(process)
    assert capsys.readouterr().out.splitlines() == lines


def test_repeated_lines_are_printed_once_with_their_number() -> None:
    zeros = [
        f"\t0x{n:04x}:  0000 0000 0000 0000 0000 0000 0000 0000  ......" for n in range(96, 300)
    ]
    text = "\n".join(
        ["a", "a", "b", *["again"] * 300, *zeros, "1000 done", "1001 done", "1002 done"]
    )
    shown = excerpt.excerpt(text).split("\n")
    assert shown == ["a", "a", "b", "again  × 300", f"{zeros[0]}  × 204",
                     "1000 done", "1001 done", "1002 done"]  # fmt: skip


def test_an_excerpt_is_small_whatever_the_lines_are() -> None:
    assert excerpt.excerpt("") == "" and excerpt.excerpt("a\rb\x0cc\n") == "a\rb\x0cc\n"
    for text, begin in (
        ("x" * 10**6, "xxx"),
        ("\n".join(f"{n}{'y' * 9000}" for n in range(300)), "0yy"),
        ("\n" * 10**5, "  × 100000"),
    ):
        assert len(excerpt.excerpt(text)) <= excerpt.CHARACTERS + 5000
        assert excerpt.excerpt(text).startswith(begin)


def test_nothing_is_printed_twice(capsys: pytest.CaptureFixture[str]) -> None:
    process = Written()
    process.text = "one\n"
    printing.print(process)
    process.text += "two\n"
    printing.print(process)
    assert capsys.readouterr().out == "one\none\ntwo\n"
    process.text += "three\n"
    process.over = True
    printing.print(process)
    printing._finish(None)
    assert capsys.readouterr().out == "one\ntwo\nthree\n"


def test_print_is_pythons_otherwise(capsys: pytest.CaptureFixture[str]) -> None:
    printing.print("a", 1, sep="-", end="!\n")
    printing.print()
    assert capsys.readouterr().out == "a-1!\n\n"
    assert inspect.signature(printing.print).parameters.keys() >= {"sep", "end", "file", "flush"}


# -- results without addresses of this process


@pytest.mark.timeout(60)
@pytest.mark.parametrize("text", ["<" * 10**6, "<a " * 10**5, "<object at 0x12 " * 10**5])
def test_a_long_result_without_addresses_is_shown_at_once(text: str) -> None:
    assert addresses.strip(text) == text


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        ("<object object at 0x7f2a4c1b80d0>", "<object object>"),
        ("[<__main__.A at 0x7f2a4c1b80d0>, 1]", "[<__main__.A>, 1]"),
        ("<function <lambda> at 0x7f2a4c1b80d0>", "<function <lambda>>"),
        ("<bound method A.f of <__main__.A object at 0x7f2a4c1b80d0>>",
         "<bound method A.f of <__main__.A object>>"),
        ("Breakpoint 1 at 0x401136: file a.c", "Breakpoint 1 at 0x401136: file a.c"),
        ("#0 <signal handler called> at 0x7fffffffe000", None),
        ("0x7f2a4c1b80d0", None),
    ],
)  # fmt: skip
def test_addresses_of_python_objects_are_not_shown(shown: str, expected: str | None) -> None:
    assert addresses.strip(shown) == (shown if expected is None else expected)
