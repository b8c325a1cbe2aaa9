"""How many stretches a search needs until it finds what is there, in many tries."""

from __future__ import annotations

import shutil
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
from subjects import ARIA, TESTED

_MOST = 1000  # stretches in which a lock has to be opened
_STEP = 50  # stretches after which it is looked whether something was found
_OPENED = 0.95  # share of the tries
_LOCK: dict[str, Any] = {"length": 1.2, "depth": 10}
_EVERYWHERE = {"kill": {"every": "60s"}}
_CRASH = "exit:standby.replicator"
_PLAIN_TIME = 120  # virtual seconds of one plain seed
_GAIN = 0.2


@dataclass(frozen=True)
class Try:
    """One search; it ended with the first finding."""

    stretches: int | None
    """In which it was found; None: it was not."""
    cpu: float
    """Seconds of CPU time, set-up included."""


def search(
    compose: Path, work: Path, seed: int, most: int, *, without: Sequence[Signal] = (), **how: Any
) -> Try:
    """Search until something is found, or there are ``most`` stretches."""
    path = work / "try.bpx"
    shutil.rmtree(path, ignore_errors=True)
    with cost() as spent:
        for stretches in range(_STEP, most + 1, _STEP):
            with bp.explore(
                compose, path, stretches=stretches, duration=3600, seed=seed, without=without,
                triaged=False, **how,
            ) as found:  # fmt: skip
                first = found.findings[0].nodes[0] if found.findings else None
            if first is not None:
                break
    shutil.rmtree(path)
    return Try(first, spent.cpu)


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
    document = YAML(typ="safe").load(ARIA.compose)
    del document["x-branchpoint"]["fault"]
    document["x-branchpoint"]["faults"] = _EVERYWHERE
    folder = work / "aria-anywhere"
    shutil.copytree(ARIA.compose.parent, folder, dirs_exist_ok=True)
    with (folder / "compose.yaml").open("w") as file:
        YAML(typ="safe").dump(document, file)
    return folder


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
