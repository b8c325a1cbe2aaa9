"""Long soaks in slices, with their counts kept: they can be interrupted and continued anywhere."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

import branchpoint as bp
from branchpoint import doctor, soak
from branchpoint.guest.image import ensure_image
from branchpoint.torture.branches import Branches
from figures import Figure, amount
from kept import read, write
from soaks.torturing import branches, foreign, part
from subjects import ETCD, demo, identity, recorded
from table import machine

_COUNTED = "soaks"
COUNTS = {"demo": 1000, "etcd": 200, "torture": 500, "foreign": 500, "branches": 1000}
_CORES = os.cpu_count() or 2
_AT_ONCE, _BUSY = 2 * _CORES - 1, 1
"""Replays at once, and processes that only compute: two processes for each core."""
_SLICE = 50  # replays between two saves; memory is given back then, too
_PART = 7  # replays of one part of the recordings of other people's programs
_LAST = 20  # virtual seconds of a recording that are replayed
_ETCD_LENGTH = 60  # virtual seconds
_CONTROL_PATIENCE = 600  # wall seconds in which a control must diverge
_NAMES = {
    "demo": f"replays of the demo's last {_LAST} virtual s, both cores busy",
    "etcd": f"replays of etcd's last {_LAST} virtual s, both cores busy",
    "torture": "replays of the torture guest, both cores busy",
    "idle": "control: its idle part without the idle cure",
    "tlb": "control: its threads and forks without the TLB cure",
    "young": "control: its use of pages without the cure for accessed bits",
    "flags": "control: its arithmetic without the cure for flags",
    "foreign": "replays of programs that others wrote, both cores busy",
    "branches": "branches off each probe of processor state, half of them with a command",
    "branches-flags": "control: the same without the cure for flags",
    "branches-young": "control: the same without the cure for accessed bits",
}
_CONTROLS = {"idle": "idle", "tlb": "TLB", "young": "accessed bits", "flags": "flags"}
_BRANCHING = {"branches": "", "branches-flags": "flags", "branches-young": "accessed bits"}
"""Which cure is left out."""


@dataclass
class Count:
    """What was soaked so far, and the code and emulator for which it is valid."""

    of: str
    replays: int = 0
    """For branches: branches from each probe."""
    stops: int = 0
    rewinds: int = 0
    from_power_on: int = 0
    divergences: int = 0
    minutes: float = 0.0
    computers: list[str] = field(default_factory=list)
    restored: list[str] = field(default_factory=list)
    """States from which replays went on, in recordings of other people's programs."""
    covered: str = ""

    def here(self) -> None:
        """Note that some of it was counted on this computer."""
        self.computers = sorted({*self.computers, machine()})

    def add(self, report: soak.Report) -> None:
        self.here()
        self.replays += report.replays
        self.stops += report.stops
        self.rewinds += report.rewinds
        self.from_power_on += report.from_power_on
        self.divergences += len(report.divergences)
        self.minutes += report.wall / 60

    def add_branches(self, report: Branches) -> None:
        self.here()
        self.replays += report.count // max(len(report.probes), 1)
        self.divergences += report.parted + len(report.strayed)
        self.minutes += report.wall / 60
        self.covered = ", ".join(sorted(name.partition(".")[0] for name in report.probes))

    def figure(self, key: str) -> Figure:
        name = _NAMES[key]
        asked = COUNTS.get(key)
        if asked is None:
            of = f" of {self.replays}" if key in _CONTROLS else ""
            measured = f"{self.divergences}{of} diverged"
            return Figure(name, measured, "diverges", self.divergences > 0)
        verdict = f"{self.divergences} diverged" if self.divergences else "all identical"
        if key == "branches":
            told = self.covered
        else:
            told = f"{self.stops} stops, {self.rewinds} rewinds, "
            told += f"{self.from_power_on} from power-on"
            if self.covered:
                told += f", from {len(self.restored)} checkpoints; {self.covered}"
        measured = f"{self.replays}: {verdict} ({told}; {amount(self.minutes, 'min')})"
        met = self.replays >= asked and not self.divergences
        return Figure(name, measured, f"{asked}, all identical", met)


def soak_all(work: Path, counts: dict[str, int]) -> None:
    """Continue all soaks up to ``counts`` replays each, then the controls."""
    controls = [key for key in _NAMES if key not in COUNTS]
    for key, asked in {**counts, **dict.fromkeys(controls, 1)}.items():
        known = _load()
        count = known.setdefault(key, Count(identity()))
        if count.replays >= asked or (key in controls and count.divergences):
            continue
        if key in _BRANCHING:
            _branch_on(work, key, known, asked)
        elif key == "foreign":
            _go_through(work, known, asked)
        else:
            _go_on(work, key, known, asked)


def figures() -> list[Figure]:
    """The results of soaks of exactly this engine."""
    known = _load()
    return [known[key].figure(key) for key in _NAMES if key in known]


def _go_on(work: Path, key: str, known: dict[str, Count], asked: int) -> None:
    """Soak until ``known[key]`` has as many replays as asked, saving after each slice.

    A control ends when it diverges; it has nothing else to show.
    """
    count = known[key]
    with _opener(work, key) as opened:
        while count.replays < asked:
            with opened() as subject:
                if key in _CONTROLS:
                    report = soak.soak(subject, None, _CONTROL_PATIENCE, until_divergence=True)
                else:
                    # With the seed, each slice chooses other stops, looks and rewinds.
                    slice_ = min(_SLICE, asked - count.replays)
                    report = soak.soak(
                        subject, slice_, seed=count.replays, workers=_AT_ONCE, busy=_BUSY
                    )
            _tell(report)
            count.add(report)
            _save(known)


def _go_through(work: Path, known: dict[str, Count], asked: int) -> None:
    """The same for each part of the recordings of other people's programs."""
    count = known["foreign"]
    parts, count.covered = foreign(work)
    while count.replays < asked:
        path, begin, end = parts[count.replays // _PART % len(parts)]
        with part(path, begin, end) as subject:
            report = soak.soak(subject, _PART, seed=count.replays, workers=_AT_ONCE, busy=_BUSY)
            stored = {state.at for state in subject.stored} & report.restored
        _tell(report)
        count.add(report)
        new = {f"{path.name} {at}" for at in stored}
        count.restored = sorted(new.union(count.restored))
        _save(known)


def _branch_on(work: Path, key: str, known: dict[str, Count], asked: int) -> None:
    """Make branches until there are as many from each probe as asked for."""
    count = known[key]
    while count.replays < asked and not (count.divergences and _BRANCHING[key]):
        report = branches(
            work, min(_SLICE, max(asked - count.replays, 10)), seed=count.replays,
            workers=_CORES, without=_BRANCHING[key],
        )  # fmt: skip
        print(report, flush=True)
        count.add_branches(report)
        _save(known)


def _tell(report: soak.Report) -> None:
    print(report, flush=True)
    for line in report.divergences:
        print(f"  {line}", flush=True)


def _save(known: dict[str, Count]) -> None:
    write(_COUNTED, {key: asdict(count) for key, count in known.items()})


_Opened = Callable[[], AbstractContextManager[soak.Subject]]


@contextmanager
def _opener(work: Path, key: str) -> Iterator[_Opened]:
    """A function that opens the subject of a soak anew for each slice."""
    if key in ("demo", "etcd"):
        path = demo(work) if key == "demo" else recorded(ETCD, _ETCD_LENGTH, work)

        @contextmanager
        def of_recording() -> Iterator[soak.Subject]:
            with bp.open(path) as run:
                yield soak.subject_of(run, _LAST)
                run.replayer.pool.close()

        yield of_recording
        return
    image = ensure_image()
    with tempfile.TemporaryDirectory(prefix="branchpoint-") as folder:

        @contextmanager
        def of_torture() -> Iterator[soak.Subject]:
            if key in _CONTROLS:
                subject = doctor.control(image, Path(folder), _CONTROLS[key])
            else:
                subject = doctor.torture(image, Path(folder))
            yield subject
            subject.pool.close()

        yield of_torture


def _load() -> dict[str, Count]:
    counts = {key: Count(**fields) for key, fields in read(_COUNTED).items()}
    return {key: count for key, count in counts.items() if count.of == identity()}
