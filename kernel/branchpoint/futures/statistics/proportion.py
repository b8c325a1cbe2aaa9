"""How well a share is known from k of n: Wilson's interval, and Newcombe's for a difference.

Both are made for small n and for shares at 0 and 1, where the textbook's normal interval has no
width at all.
"""

from __future__ import annotations

from functools import cache
from statistics import NormalDist
from typing import Any

import numpy as np

LEVEL = 0.95
"""The default level of intervals."""


@cache
def quantile(level: float) -> float:
    """The z for which ``level`` of the normal distribution lies between -z and z."""
    if not 0 < level < 1:
        raise ValueError(f"{level} is not a level between 0 and 1")
    return NormalDist().inv_cdf((1 + level) / 2)


def wilson(successes: Any, trials: Any, level: float = LEVEL) -> tuple[Any, Any]:
    """The score interval (low, high) of a share; numbers or arrays. No trials: 0 to 1.

    E. B. Wilson, Probable inference, the law of succession, and statistical inference,
    J. Am. Stat. Assoc. 22 (1927) 209-212.
    """
    k, n = np.asarray(successes, float), np.asarray(trials, float)
    z = quantile(level)
    # Every k at no trials gives (z² ± z²) / 2z²: the whole range, as it should be.
    middle = k + z * z / 2
    spread = z * np.sqrt(k * (n - k) / np.maximum(n, 1) + z * z / 4)
    low, high = (middle - spread) / (n + z * z), (middle + spread) / (n + z * z)
    # Exactly 0 and 1 at the ends, where rounding leaves a little.
    low, high = np.where(k <= 0, 0.0, low), np.where(k >= n, 1.0, high)
    return low[()], high[()]


def half_width(successes: Any, trials: Any, level: float = LEVEL) -> Any:
    """Half the length of Wilson's interval: what is meant by "known to ±0.1"."""
    low, high = wilson(successes, trials, level)
    return (high - low) / 2


def difference(
    first: Any, first_trials: Any, second: Any, second_trials: Any, level: float = LEVEL
) -> tuple[Any, Any]:
    """The interval (low, high) of the first share minus the second; numbers or arrays.

    R. G. Newcombe, Interval estimation for the difference between independent proportions:
    comparison of eleven methods, Stat. Med. 17 (1998) 873-890, method 10: square and add the
    distances to the ends of Wilson's intervals. Without trials on a side its share is taken as
    1/2, known as 0 to 1.
    """
    p, q = _share(first, first_trials), _share(second, second_trials)
    p_low, p_high = wilson(first, first_trials, level)
    q_low, q_high = wilson(second, second_trials, level)
    low = p - q - np.sqrt((p - p_low) ** 2 + (q_high - q) ** 2)
    high = p - q + np.sqrt((p_high - p) ** 2 + (q - q_low) ** 2)
    return low[()], high[()]


def _share(successes: Any, trials: Any) -> Any:
    k, n = np.asarray(successes, float), np.asarray(trials, float)
    return np.where(n > 0, k / np.maximum(n, 1), 0.5)


@cache
def fewest_more(successes: int, trials: int, precision: float, level: float = LEVEL) -> int:
    """How many more trials are needed at least, however they end, for the half width to be small
    enough: the number that is enough if all of them end alike. 0: it is small enough already.
    """
    if half_width(successes, trials, level) <= precision:
        return 0
    few, many = 0, 1
    while not _may_be_known(successes, trials, many, precision, level):
        few, many = many, 2 * many
    while many - few > 1:
        middle = (few + many) // 2
        if _may_be_known(successes, trials, middle, precision, level):
            many = middle
        else:
            few = middle
    return many


def _may_be_known(k: int, n: int, more: int, precision: float, level: float) -> bool:
    ends = np.array([k, k + more])
    return bool(half_width(ends, n + more, level).min() <= precision)


def most_trials(precision: float, level: float = LEVEL) -> int:
    """How many trials give ``precision`` for every share: what the worst one, 1/2, needs."""
    z = quantile(level)
    return max(int(np.ceil((z / (2 * precision)) ** 2 - z * z - 1e-9)), 1)
