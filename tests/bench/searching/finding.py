"""How many stretches a search needs until it finds what is there, in many tries."""

from __future__ import annotations

import math
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

import branchpoint as bp
from branchpoint import progress
from branchpoint.search.signs import SIGNALS, Signal
from cost import cost
from figures import Figure, amount, at_most, median
from scale import Scale
from subjects import ARIA, NOTEBOOKS, TESTED

_MOST = 1000  # stretches in which a lock has to be opened
_STEP = 50  # stretches after which it is looked whether something was found
_OPENED = 0.95  # share of the tries
_LOCK: dict[str, Any] = {"length": 1.2, "depth": 10}
_EVERYWHERE = {"kill": {"every": "60s"}}
_CRASH = "exit:standby.replicator"
_PLAIN_TIME = 120  # virtual seconds of one plain seed
_GAIN = 0.2
_ANYTHING = {kind: {"every": "20s"} for kind in ("kill", "freeze", "partition", "latency", "loss")}
_PATIENCE = 1200  # CPU seconds, which are ten minutes of two cores
_TRIES = 10
_MET = 0.8  # share of these tries


@dataclass(frozen=True)
class Try:
    """One search; it ended with the first finding."""

    stretches: int | None
    """In which it was found; None: it was not."""
    cpu: float
    """Seconds of CPU time, set-up included."""


@dataclass(frozen=True)
class Bug:
    """A public failure, in a system that the notebooks have."""

    folder: Path
    line: str
    """What is said when it happens: SERVICE:PATTERN."""
    wheels: tuple[str, ...] = ()
    """What the notebook downloads first: a requirement each."""
    place: str = "."
    """The folder in the system's own that has them."""


_BUGS = [
    Bug(NOTEBOOKS / "systems/redis", "rack*.writer:lost"),
    Bug(NOTEBOOKS / "bugs/etcd-10811", "store:overwritten"),
    Bug(NOTEBOOKS / "bugs/redis-py-2624", "client:gets the value", ("redis==4.5.1",)),
    Bug(NOTEBOOKS / "bugs/kombu-337", "worker*:was done"),
    Bug(
        NOTEBOOKS / "bugs/django-29280", "shop:is locked",
        ("Django==5.1.4", "asgiref==3.8.1", "sqlparse==0.5.3"), "wheels",
    ),
]  # fmt: skip


def search(
    compose: Path,
    work: Path,
    seed: int,
    most: int,
    *,
    wanted: str = "",
    patience: float = math.inf,
    without: Sequence[Signal] = (),
    **how: Any,
) -> Try:
    """Search until something is found, or the failure of the name ``wanted``; at most so many
    stretches, and about as long as ``patience`` (CPU seconds).
    """
    path = work / "try.bpx"
    shutil.rmtree(path, ignore_errors=True)
    cpu = 0.0
    for stretches in range(_STEP, most + 1, _STEP):
        with cost() as spent, bp.explore(
            compose, path, stretches=stretches, duration=3600, seed=seed, without=without,
            triaged=False, **how,
        ) as found:  # fmt: skip
            those = [each for each in found.findings if wanted in ("", each.failure)]
            first = those[0].nodes[0] if those else None
        cpu += spent.cpu
        if first is not None or cpu > patience:
            break
    shutil.rmtree(path)
    return Try(first, cpu)


def locks(scale: Scale, work: Path) -> list[Figure]:
    """Five unlikely draws in a row, in a program that speaks and in one that does not."""
    silent = [signal for signal in SIGNALS if signal != "code"]
    return [
        _lock("a lock of five dials that says when one is turned", "lock", ["code"], scale, work),
        _lock("one that says nothing, by the code that runs alone", "dials", silent, scale, work),
    ]


def _lock(
    title: str, name: str, without: Sequence[Signal], scale: Scale, work: Path
) -> Figure:  # fmt: skip
    counts = []
    with progress.task(title, scale.tries, "tries") as task:
        for seed in range(1, scale.tries + 1):
            compose = TESTED / name
            tried = search(compose, work, seed, _MOST, without=without, **_LOCK)
            counts.append(tried.stretches)
            task.update(seed)
    opened = sorted(count for count in counts if count is not None)
    told = f"in {len(opened)} of {len(counts)} tries"
    if opened:
        told += f" (median {median(opened):.0f} stretches, most {opened[-1]})"
    bar = f"in ≥ {_OPENED * scale.tries:.0f}"
    figure = f"{title}: opened within {_MOST} stretches; plain seeds need some 100 000"
    return Figure(figure, told, bar, len(opened) >= _OPENED * scale.tries)


def bugs(scale: Scale, work: Path) -> list[Figure]:
    """Public failures, when anything may happen to any container: no hint says which fault."""
    return [_bug(bug, min(scale.tries, _TRIES), work) for bug in _BUGS]


def _bug(bug: Bug, tries: int, work: Path) -> Figure:
    compose = work / bug.folder.name
    shutil.copytree(bug.folder, compose, dirs_exist_ok=True)
    _let_happen(compose, _ANYTHING)
    if bug.wheels:
        target = compose / bug.place
        pip = [sys.executable, "-m", "pip", "-qq", "download", "--no-deps", "--dest", str(target)]
        subprocess.run([*pip, *bug.wheels], check=True)
    wanted = f"log:{bug.line}"
    found = []
    with progress.task(bug.folder.name, tries, "tries") as task:
        for seed in range(1, tries + 1):
            tried = search(
                compose, work, seed, 10**6, wanted=wanted, patience=_PATIENCE, failures=[wanted]
            )
            found.append(tried.cpu if tried.stretches is not None else math.inf)
            task.update(seed)
    in_time = sorted(cpu for cpu in found if cpu <= _PATIENCE)
    told = f"in {len(in_time)} of {tries} tries"
    if in_time:
        told += f" (median {amount(median(in_time), 's')} of CPU time, most {in_time[-1]:.0f} s)"
    name = f"{bug.folder.name}: found within ten minutes of two cores, any fault to any container"
    return Figure(name, told, f"in ≥ {_MET * tries:.0f}", len(in_time) >= _MET * tries)


def crash(scale: Scale, work: Path) -> list[Figure]:
    """The demo's crash when any service may be killed at any time, against plain seeds in order."""
    compose = _killed_anywhere(work)
    searched, plain = [], []
    with progress.task("the demo's crash", scale.tries, "tries") as task:
        for seed in range(1, scale.tries + 1):
            searched.append(search(compose, work, seed, 2000, failures=[_CRASH]))
            plain.append(_plain(compose, work, 1000 * seed))
            task.update(seed)
    found = [each.cpu for each in searched if each.stretches is not None]
    if len(found) < len(searched):
        missed = f"not found in {len(searched) - len(found)} of {len(searched)} tries"
        return [Figure("the demo's crash is found", missed, "always", met=False)]
    note = (
        f"medians of {len(found)} tries: {amount(median(found), 's')} against "
        f"{amount(median(plain), 's')}"
    )
    name = "the demo, any service killed every 60 s: CPU time to its crash, against plain seeds"
    return [at_most(name, median(found) / median(plain), _GAIN, "%", note)]


def _killed_anywhere(work: Path) -> Path:
    """The demo without its one kill."""
    folder = work / "aria-anywhere"
    shutil.copytree(ARIA.compose.parent, folder, dirs_exist_ok=True)
    _let_happen(folder, _EVERYWHERE)
    return folder


def _let_happen(folder: Path, faults: dict[str, Any]) -> None:
    """These are the faults of its compose file, and no others."""
    path = folder / "compose.yaml"
    document = YAML(typ="safe").load(path)
    document["x-branchpoint"].pop("fault", None)
    document["x-branchpoint"]["faults"] = faults
    with path.open("w") as file:
        YAML(typ="safe").dump(document, file)


def _plain(compose: Path, work: Path, seed: int) -> float:
    """Seconds of CPU time until a seed fails, counted up from ``seed``."""
    path = work / "plain.branchpoint"
    with cost() as spent:
        while True:
            shutil.rmtree(path, ignore_errors=True)
            with bp.record(
                compose, path, seed=seed, duration=_PLAIN_TIME, until=_CRASH, after=0
            ) as run:
                if run.manifest.failure is not None:
                    break
            seed += 1
    shutil.rmtree(path)
    return spent.cpu
