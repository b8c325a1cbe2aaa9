"""Virtual time: exact, and easy to write."""

from __future__ import annotations

import pickle
from datetime import timedelta
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from branchpoint.clock import SECOND, Time, format_vtime, to_ns
from branchpoint.errors import TimeError

NS = st.integers(-(2**62), 2**62)


@pytest.mark.parametrize(
    ("value", "ns"),
    [
        (118.738, 118_738_000_000),
        (0.1, 100_000_000),
        (1, SECOND),
        (np.float64(118.738), 118_738_000_000),
        (np.int64(3), 3 * SECOND),
        ("118.738", 118_738_000_000),
        (" 250 ms", 250_000_000),
        ("2m", 120 * SECOND),
        ("60s", 60 * SECOND),
        ("1e-9", 1),
        ("-0.5", -SECOND // 2),
        (Decimal("0.000000001"), 1),
        (timedelta(days=1, microseconds=3), 86_400 * SECOND + 3_000),
        (pd.Timedelta(7, "ns"), 7),
        (Time.milliseconds(1.5), 1_500_000),
    ],
)
def test_exact(value: object, ns: int) -> None:
    assert to_ns(value) == ns


@pytest.mark.parametrize(
    "value",
    [None, True, "", "soon", "5 parsecs", float("nan"), float("inf"), 1e40, 2**70, [1], "1e999999"],
)
def test_what_is_no_time(value: object) -> None:
    with pytest.raises(TimeError):
        to_ns(value)


@given(NS)
def test_text_and_back(ns: int) -> None:
    assert to_ns(format_vtime(ns)) == ns
    assert to_ns(Decimal(format_vtime(ns))) == ns


@given(st.integers(-(10**15), 10**15))
def test_a_float_that_was_shown_means_the_same_instant(ns: int) -> None:
    time = Time.nanoseconds(ns)
    assert to_ns(float(time)) == ns
    assert eval(repr(time), {"Time": Time}).ns == ns


def test_format() -> None:
    assert format_vtime(118_738_000_000) == "118.738"
    assert format_vtime(0) == "0.000"
    assert format_vtime(-1) == "-0.000000001"
    assert format_vtime(23_073_119_890) == "23.073119890", "zeros of the ns stay"
    assert format_vtime(1_500_000) == "0.001500"
    assert str(Time.minutes(2)) == "120.000 s"
    assert repr(Time.seconds(1)) == "Time.seconds(1.000)"


def test_arithmetic() -> None:
    second = Time.seconds(1)
    assert second + 0.5 == Time.milliseconds(1500) == 1.5
    assert 2 - second == second == 1
    assert second * 3 == 3 * second == Time.seconds(3)
    assert second / 4 == Time.milliseconds(250)
    assert Time.minutes(1) / second == 60.0
    assert -second < 0 < second <= 1
    assert abs(-second) == second
    assert sorted([Time.hours(1), second]) == [second, Time.hours(1)]
    assert float(Time.microseconds(3)) == 3e-6
    assert not Time()


@given(NS, NS)
def test_adding_is_exact(a: int, b: int) -> None:
    if abs(a + b) < 2**63:
        assert (Time.nanoseconds(a) + Time.nanoseconds(b)).ns == a + b


def test_a_value() -> None:
    second = Time.seconds(1)
    assert hash(second) == hash(1) == hash(Time.milliseconds(1000))
    assert pickle.loads(pickle.dumps(second)) == second
    with pytest.raises(AttributeError):
        second.other = 1  # type: ignore[attr-defined]


def test_nanoseconds_are_rounded_and_checked() -> None:
    assert Time.nanoseconds(1.6).ns == Time.nanoseconds("2").ns == 2
    for wrong in ("x", float("nan"), None):
        with pytest.raises(TimeError):
            Time.nanoseconds(wrong)


@pytest.mark.parametrize("divisor", [0, 0.0, "x", Time(0)])
def test_what_a_time_cannot_be_divided_by(divisor: object) -> None:
    with pytest.raises(TimeError, match=r"5\.000 s cannot be divided by"):
        _ = Time(5) / divisor


@pytest.mark.parametrize("same", [timedelta(seconds=5), Decimal(5), pd.Timedelta(5, "s")])
def test_times_compare_with_other_kinds_of_times(same: object) -> None:
    assert Time(5) == same and same == Time(5)
    assert Time(4) < same <= Time(5) < Time(6)  # type: ignore[operator]
    assert same > Time(4) and not same < Time(5)  # type: ignore[operator]
    assert Time("0.000000001") != Decimal("0.0000000011")
