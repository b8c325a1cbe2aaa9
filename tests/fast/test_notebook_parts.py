"""Completion, displays and the choice of a recording, without a kernel and without a machine."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from branchpoint.errors import BranchpointError, RecordingError
from branchpoint.notebook import completion, display, session
from branchpoint.timeline.events import Event, EventLog, EventSet

CONTAINERS = ["primary.tip-retransmitter.1", "standby.replicator.1"]


@pytest.fixture
def one_recording(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in for an open recording: only names and events are looked at here."""
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
        ("run.moments('", ["container.exit", "log"]),
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
        ({"moment": 1, "path": "/x", "pth": 1}, "pth has no meaning"),
        ({3}, "neither a moment"),
    ],
)
def test_wrong_arguments_are_named(
    monkeypatch: pytest.MonkeyPatch, given_: object, words: str
) -> None:
    with pytest.raises(BranchpointError, match=words):
        session._arguments(given_, {}, needed=("moment", "path"), possible=("container",))


def test_output_is_escaped_and_cut() -> None:
    assert display.output_html("") == ""
    assert display.output_html("a\n<b>&\x1b[31mred\x00\n") == "<pre>a\n&lt;b&gt;&amp;red\\x00</pre>"
    long = display.output_html("".join(f"{i}\n" for i in range(100_000)))
    assert "\n59\n… 99880 lines are not shown: they are in .output\n99940\n" in long
    assert len(display.output_html("&" * 10_000_000 + "\n" * 100 + "x")) < 10_000


@given(st.text())
def test_no_output_becomes_markup(output: str) -> None:
    shown = display.output_html(output)
    assert shown.count("<") == (2 if shown else 0)


def test_tables_are_escaped() -> None:
    shown = display.table(["<a>"], [["<script>"], ["&"]])
    assert "&lt;script&gt;" in shown and "<script" not in shown
