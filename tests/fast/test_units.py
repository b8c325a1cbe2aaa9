"""Durations: one grammar for all places where a user writes one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

import branchpoint as bp
from branchpoint import units
from branchpoint.cli.words import DURATION, Instant
from branchpoint.clock import SECOND, to_ns
from branchpoint.errors import BranchpointError
from branchpoint.faults.reading import read
from branchpoint.system import load
from branchpoint.system.model import System

WRITTEN = [
    ("1m30s", 90 * SECOND),
    ("1m 30s", 90 * SECOND),
    ("2min", 120 * SECOND),
    ("2 min", 120 * SECOND),
    ("1h5min", 3900 * SECOND),
    ("1.5 s", 1_500_000_000),
    ("250ms", 250_000_000),
    ("1s250ms3us4ns", 1_250_003_004),
    ("7µs", 7_000),
    ("7μs", 7_000),
    ("10", 10 * SECOND),
    ("12.5", 12_500_000_000),
    (".5", 500_000_000),
    ("1_000", 1000 * SECOND),
    ("1e-3 h", 3_600_000_000),
    ("+3s", 3 * SECOND),
]
NOT_WRITTEN = ["soon", "1m30", "1 parsec", "s", "1m-30s", "1..5s", "1e99999999999999999999s"]


SERVICE = "services:\n  a:\n    image: x\n"


def compose(tmp_path: Path, more: str) -> System:
    (tmp_path / "compose.yaml").write_text(SERVICE + more)
    return load(tmp_path)


def python(written: str, _: Path) -> int:
    return to_ns(written)


def time(written: str, _: Path) -> int:
    return bp.Time(written).ns


def command_line(written: str, _: Path) -> int:
    found: bp.Time = DURATION.convert(written, None, None)
    return found.ns


def instant(written: str, _: Path) -> int:
    return Instant.parse(written).time.ns


def after_an_instant(written: str, _: Path) -> int:
    return Instant.parse(f"start+{written.removeprefix('+')}").time.ns


def service(written: str, tmp_path: Path) -> int:
    return compose(tmp_path, f"    stop_grace_period: {written}\n").services["a"].stop_grace


def settings(written: str, tmp_path: Path) -> int:
    more = f"x-branchpoint:\n  faults: {{kill: {{every: {written}}}}}\n"
    return compose(tmp_path, more).faults.drawn[0].every


def noise(written: str, tmp_path: Path) -> int:
    more = f"x-branchpoint:\n  noise: {{every: {written}, longest: 1us}}\n"
    found = compose(tmp_path, more).noise
    assert found is not None
    return found.every


def faults(written: str, tmp_path: Path) -> int:
    containers = compose(tmp_path, "").containers
    return read({"kill": {"every": written}}, containers).drawn[0].every


PLACES = [python, time, command_line, instant, after_an_instant, service, settings, noise, faults]
LEAST = {settings: 10**6, faults: 10**6, noise: 10**5}  # shortest time between two, in ns


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(("written", "ns"), WRITTEN)
def test_a_time_means_the_same_everywhere(
    written: str, ns: int, place: Callable[[str, Path], int], tmp_path: Path
) -> None:
    if ns < LEAST.get(place, 0):
        with pytest.raises(BranchpointError, match="at least"):
            place(written, tmp_path)
    else:
        assert place(written, tmp_path) == ns


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("written", NOT_WRITTEN)
def test_what_is_no_time_is_none_anywhere(
    written: str, place: Callable[[str, Path], int], tmp_path: Path
) -> None:
    with pytest.raises((BranchpointError, click.UsageError)) as caught:
        place(written, tmp_path)
    assert written in str(caught.value)


@pytest.mark.parametrize("place", [command_line, service, settings, noise, faults])
def test_what_lasts_is_not_below_zero(place: Callable[[str, Path], int], tmp_path: Path) -> None:
    negative = r"negative|below zero|greater than 0"
    with pytest.raises((BranchpointError, click.UsageError), match=negative):
        place("-1m30s", tmp_path)


@given(st.integers(-(10**18), 10**18))
def test_a_time_that_was_shown_is_read_as_it_was(ns: int) -> None:
    assert units.nanoseconds(units.time_text(ns)) == ns


@given(st.text("0123456789._eE+- nuµmshi", max_size=12))
def test_any_text_is_a_time_or_none(text: str) -> None:
    found = units.nanoseconds(text)
    assert found is None or isinstance(found, int)
