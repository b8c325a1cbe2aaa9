"""The agent's random numbers, compiled for this computer: distributions and separate streams."""

from __future__ import annotations

import ctypes
import math
import shutil
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from branchpoint.guest import image

AGENT = Path(image.__file__).parent / "agent"
DRAWS = 20_000
FOR_FAULTS, FOR_NOISE = 1, 2


class Key(ctypes.Structure):
    _fields_ = (("words", ctypes.c_uint64 * 4),)


class Stream(ctypes.Structure):
    _fields_ = (("words", ctypes.c_uint64 * 4),)


class Library:
    """``random.c`` as a shared library."""

    def __init__(self, path: Path) -> None:
        self.c = ctypes.CDLL(str(path))
        self.c.random_key.restype = Key
        self.c.random_stream.restype = Stream
        for name in ("random_below", "random_exponential", "random_log_uniform"):
            getattr(self.c, name).restype = ctypes.c_uint64
        self.c.random_between.restype = ctypes.c_int64
        self.c.random_unit.restype = ctypes.c_double

    def stream(self, seed: bytes, purpose: int = FOR_FAULTS, number: int = 0, turn: int = 0):
        key = self.c.random_key(seed, ctypes.c_size_t(len(seed)))
        pair = ctypes.c_uint64(number), ctypes.c_uint64(turn)
        return self.c.random_stream(ctypes.byref(key), purpose, *pair)

    def draw(self, stream: Stream, what: str, *arguments: int) -> float:
        words = [ctypes.c_uint64(each & 2**64 - 1) for each in arguments]
        return getattr(self.c, f"random_{what}")(ctypes.byref(stream), *words)

    def draws(self, what: str, *arguments: int, count: int = DRAWS) -> list[float]:
        stream = self.stream(b"seed")
        return [self.draw(stream, what, *arguments) for _ in range(count)]


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Library:
    compiler = shutil.which("gcc") or shutil.which("cc")
    assert compiler, "gcc is needed for everything here; run: make setup"
    path = tmp_path_factory.mktemp("random") / "random.so"
    options = ["-std=gnu11", "-O2", "-shared", "-fPIC"]
    subprocess.run([compiler, *options, "-o", path, AGENT / "chance" / "random.c"], check=True)
    return Library(path)


def distance(values: list[float], share_below) -> float:
    """The Kolmogorov-Smirnov statistic, times the root of the number of values."""
    count = len(values)
    worst = max(
        max(abs((i + 1) / count - share_below(v)), abs(i / count - share_below(v)))
        for i, v in enumerate(sorted(values))
    )
    return worst * math.sqrt(count)


KS_LIMIT = 2.2
"""The statistic is above this in 1 of 8000 cases (Kolmogorov's distribution)."""


def test_all_seeds_purposes_lines_and_turns_have_streams_of_their_own(library: Library) -> None:
    seeds = [b"", b"\0", b"\0\0", b"a", b"b", b"a" * 8, b"a" * 9, b"a" * 512, bytes(range(32))]
    streams = [library.stream(seed) for seed in seeds]
    streams += [library.stream(b"a", FOR_NOISE), library.stream(b"a", number=1)]
    streams += [library.stream(b"a", turn=1), library.stream(b"a", number=1, turn=1)]
    states = [tuple(stream.words) for stream in streams]
    words = [word for state in states for word in state]
    assert len(set(words)) == len(words)


def test_one_stream_is_always_the_same(library: Library) -> None:
    once, again = library.stream(b"x", turn=3), library.stream(b"x", turn=3)
    assert [library.draw(once, "below", 1000) for _ in range(100)] == [
        library.draw(again, "below", 1000) for _ in range(100)
    ]


def test_integers_are_equally_likely(library: Library) -> None:
    counts = Counter(library.draws("below", 7))
    assert sorted(counts) == list(range(7))
    expected = DRAWS / 7
    assert sum((n - expected) ** 2 / expected for n in counts.values()) < 27.9  # 6 degrees, 0.0001


def test_a_range_that_is_no_power_of_two_has_no_bias(library: Library) -> None:
    """Of 3 * 2^62 values, the lowest third would be twice as likely with a plain remainder."""
    lowest = sum(value < 2**62 for value in library.draws("below", 3 * 2**62))
    assert abs(lowest - DRAWS / 3) < 4 * math.sqrt(DRAWS * 2 / 9)


def test_signed_ranges_include_both_ends(library: Library) -> None:
    assert set(library.draws("between", -2, 2)) == {-2, -1, 0, 1, 2}
    assert set(library.draws("between", 5, 5, count=10)) == {5}
    whole = library.draws("between", -(2**63), 2**63 - 1, count=1000)
    assert min(whole) < -(2**61) and max(whole) > 2**61


def test_the_unit_interval_lacks_only_zero(library: Library) -> None:
    values = library.draws("unit")
    assert min(values) > 0 and max(values) <= 1
    assert distance(values, lambda v: v) < KS_LIMIT


def test_exponential_times(library: Library) -> None:
    mean = 10**9
    values = library.draws("exponential", mean)
    assert distance(values, lambda v: 1 - math.exp(-v / mean)) < KS_LIMIT
    assert max(library.draws("exponential", 2**62 - 1, count=100)) <= 2**62


def test_log_uniform_times(library: Library) -> None:
    low, high = 1000, 1_000_000
    values = library.draws("log_uniform", low, high)
    assert low <= min(values) and max(values) <= high
    assert distance(values, lambda v: math.log(v / low) / math.log(high / low)) < KS_LIMIT
    assert set(library.draws("log_uniform", 1000, 1000, count=10)) == {1000}
