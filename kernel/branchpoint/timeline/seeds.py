"""What a seed does to a machine: everything random is drawn anew from that instant on.

The guest's agent gets bytes. It mixes them into the kernel's random pool and seeds its own
generators with them. It is also told to disturb the scheduling of the whole system, so which thread
runs when is drawn, too. Equal seeds at one moment give equal futures, bit for bit.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable
from typing import Any, TypeAlias

from blake3 import blake3

from branchpoint.clock import Duration, to_ns
from branchpoint.errors import BranchpointError
from branchpoint.guest import wire
from branchpoint.store.manifest import Input

SEED = "seed"
"""The kind of the inputs made here."""
NOISE = (10_000_000, 1_000_000)
"""The default scheduling noise, ns: how often on average, and for how long at most."""
Noise: TypeAlias = bool | tuple[Duration, Duration] | None
"""Scheduling noise as users ask for it: True for :data:`NOISE`, None or False for no noise, or how
often on average and for how long at most."""
_BYTES = 32  # of randomness for the guest
_LONGEST = 512  # bytes of a seed that is given as bytes; what a command to the guest holds


def seeding(at: int, seed: int | bytes, noise: tuple[int, int] | None = NOISE) -> list[Input]:
    """The inputs that seed a machine at ``at`` (absolute ns).

    ``seed`` is a whole number, from which together with ``at`` 32 bytes are derived, or the bytes
    themselves; ``noise`` is a pair like :data:`NOISE`, or None for no noise.

    :raises BranchpointError: when ``seed`` is neither, or has no bytes or too many.
    """
    every, longest = noise or (0, wire.SHORTEST_NOISE)
    if isinstance(seed, bytes | bytearray | memoryview):
        data, note = bytes(seed), "seed of the user's bytes"
        if not 1 <= len(data) <= _LONGEST:
            raise BranchpointError(f"a seed has 1 to {_LONGEST} bytes, not {len(data)}")
    else:
        number = _whole(seed)
        # With the instant, so that futures from different moments are independent of each other.
        text, note = f"seed {number} at {at}", f"seed {number}"
        data = blake3(text.encode()).digest(length=_BYTES)
    return [
        Input(at=at, kind=SEED, data=wire.seed(data), note=note),
        Input(at=at, kind=SEED, data=wire.noise(every, longest), note="scheduling noise"),
    ]


def anew(
    inputs: Iterable[Input], at: int, seed: int | bytes, noise: tuple[int, int] | None = NOISE
) -> list[Input]:
    """All inputs of a machine, with everything random drawn anew at ``at`` (absolute ns), and not
    again by the seeds that come later.
    """
    kept = (i for i in inputs if i.kind != SEED or i.at < at)
    return sorted([*kept, *seeding(at, seed, noise)], key=lambda i: i.at)


def _whole(seed: Any) -> int:
    """A seed as a number, checked."""
    try:
        if isinstance(seed, bool):
            raise TypeError
        return operator.index(seed)
    except TypeError:
        raise BranchpointError(f"{seed!r} is not a seed", "give a whole number, or bytes") from None


def seed_of(inputs: list[Input]) -> int | None:
    """The seed, if :func:`seeding` with its usual noise makes the first ``inputs``; else None."""
    if not inputs or inputs[0].kind != SEED:
        return None
    word, _, number = inputs[0].note.partition(" ")
    try:
        seed = int(number)
    except ValueError:
        return None
    usual = seeding(inputs[0].at, seed)
    return seed if word == "seed" and inputs[: len(usual)] == usual else None


def noise_of(given: Noise) -> tuple[int, int] | None:
    """Scheduling noise in ns; None for no noise.

    :raises BranchpointError: when it is not a pair of positive durations.
    """
    if given is True:
        return NOISE
    if given is None or given is False:
        return None
    try:
        every, longest = () if isinstance(given, str) else map(to_ns, given)
    except (TypeError, ValueError):
        raise BranchpointError(
            f"noise={given!r} is not scheduling noise",
            'give how often and how long at most: noise=("5ms", "1ms"), or None for no noise',
        ) from None
    if every <= 0 or longest <= 0:
        raise BranchpointError(f"noise={given!r}: both durations must be positive")
    return every, longest
