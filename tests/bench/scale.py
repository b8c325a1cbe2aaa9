"""How much is measured: the full bench, and a quick one to check that it works."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Scale:
    """Durations are in virtual seconds."""

    recording: float
    """Length of the recordings that are visited."""
    openings: int
    """New Python processes, for each system."""
    sessions: int
    """How often a recording is opened for rewinding."""
    rewinds: int
    """Rewinds in one session."""
    branches: int
    captures: int
    pairs: int
    """Pairs of machines, with the cure for flags and without."""
    idles: int
    stretch: float
    """How long the machine runs when the control plane's share is measured."""
    stretches: int
    seconds: int
    """Futures of one virtual second of idle etcd."""
    curves: int
    """Curves of each system with a known answer."""
    contrasts: int
    """Contrasts of each kind."""
    futures: int
    """Futures in which a lost update may happen."""
    every: int
    """Number of consecutive instants."""
    instants: int
    """Number of random instants of each guest."""
    precision: float
    """Half width of the intervals of the demo's curve."""
    mutants: int
    simulated: int
    """Simulated curves of each shape."""
    tries: int
    """Searches for one thing."""
    coins: int
    """Contrasts of the code of a program in which a coin decides."""


FULL = Scale(
    recording=120,
    openings=20,
    sessions=10,
    rewinds=10,
    branches=50,
    captures=50,
    pairs=20,
    idles=5,
    stretch=60,
    stretches=6,
    seconds=400,
    curves=100,
    contrasts=2000,
    futures=200,
    every=100_000,
    instants=10_000,
    precision=0.1,
    mutants=20_000,
    simulated=10_000,
    tries=20,
    coins=100,
)
QUICK = Scale(
    recording=20,
    openings=2,
    sessions=2,
    rewinds=4,
    branches=5,
    captures=5,
    pairs=2,
    idles=2,
    stretch=10,
    stretches=1,
    seconds=40,
    curves=2,
    contrasts=50,
    futures=10,
    every=500,
    instants=100,
    precision=0.3,
    mutants=200,
    simulated=50,
    tries=2,
    coins=2,
)
