"""The most important line, which has the error, is shown to its end; long names show their ends."""

from __future__ import annotations

from collections.abc import Iterator
from html import unescape
from pathlib import Path

import pytest
from likelihoods import exit_of, recording
from recordings import event

from branchpoint.events import listing
from branchpoint.sharing.report.page import report
from branchpoint.timeline.recording import Recording
from branchpoint.timeline.replaying.history import Point

KEY = (
    "aria.frames.CorruptFrame: checksum 00000000 in the header, ecbb4b55 computed "
    "(payload of 0 bytes, sequence 0)"
)
NAME = "primary-region-of-the-system.tip-retransmitter.1"


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Recording]:
    events = [event(1, "up"), event(29, KEY, container=NAME, stream="err"), exit_of(29.1, NAME)]
    with recording(tmp_path / "run.branchpoint", events) as made:
        yield made


def test_the_key_line_is_shown_to_its_end(run: Recording) -> None:
    other = run.at(20).branch()
    other._history.tip = Point(run.end.at, other._history.tip.count)
    compared = run.compare(run.end, other)
    log = run.events.explore()
    for page in (
        repr(run.events),
        run.events._repr_html_(),
        report(run),
        repr(compared),
        compared._repr_html_(),
        repr(log),
        log._fallback_html(),
    ):
        assert KEY in unescape(page)


def test_of_a_long_name_the_end_is_shown(run: Recording) -> None:
    for page in (repr(run.events), run.events._repr_html_(), report(run)):
        assert "…-the-system.tip-retransmitter.1 " in page.replace("<", " ")
    assert listing.name(NAME, 12) == "…ansmitter.1"
    assert listing.name("a" * 10_000 + ".1", 6) == "…aaa.1"
    assert listing.name("web.1", 5) == "web.1"
    assert listing.name("\x1b[31mred\u202e", 40) == r"red\u202e"


def test_repeated_lines_are_one_row_of_a_list(tmp_path: Path) -> None:
    lines = [*(event(1 + n / 1000, "again") for n in range(300)), event(2, "other")]
    ends = [exit_of(3), exit_of(4)]
    with recording(tmp_path / "again.branchpoint", [*lines, *ends]) as made:
        shown = repr(made.events).splitlines()
        assert shown[1].endswith(" again  × 300") and shown[2].endswith(" other")
        assert len(shown) == 6 and shown[-1] == "303 events", "an exit is no repeat of another"
        assert "again  × 300" in made.events._repr_html_()
    many = [event(n / 100, f"line {n}") for n in range(50)]
    with recording(tmp_path / "many.branchpoint", many) as made:
        assert repr(made.events).splitlines()[-1] == "... and 32 more of 50 events"
