"""How often the line that is at fault is named first, in programs in which it is known."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

import branchpoint as bp
from branchpoint import progress
from branchpoint.debian import hosttools
from branchpoint.guest import debian
from figures import Figure, at_most
from scale import Scale
from subjects import TESTED, demo

_PROGRAMS = Path(__file__).parent / "programs"
_LATER = _PROGRAMS / "later"
"""Programs that were written when the order of culprits was settled, and changed nothing of it."""
_SHARED = TESTED / "culprits"
_DRAW = "draw.go"  # what the programs in Go have in common
_MARK = "FAULT"
_START = 0.4  # before anything is drawn
_LENGTH = 6
_FIRST, _NEAR = 0.7, 0.9  # shares of the programs
_NEAREST = 3
_CRASH = "exit:standby.replicator.1"
_TIME = 60  # seconds


def culprits(scale: Scale, work: Path) -> list[Figure]:
    """Twice ten small programs; one in which a coin decides, again and again; the demo."""
    with _recorded(work) as run:
        figures = []
        for words, sources in (
            ("small programs in C and Python", _earlier()),
            ("others in C, Go and Python, written later", _later()),
        ):
            places = {path.stem: _place(run, path) for path in sources}
            figures += _figures(words, places)
        named = _coin(run, scale)
    return [*figures, named, _cost(work)]


def _earlier() -> list[Path]:
    own = [*_PROGRAMS.glob("*.py"), *_PROGRAMS.glob("*.c")]
    return sorted([*own, _SHARED / "stock.py", _SHARED / "queue.c"])


def _later() -> list[Path]:
    return sorted(path for path in _LATER.iterdir() if path.name != _DRAW)


def _recorded(work: Path) -> bp.Recording:
    """All programs in one recording; those in C and Go are compiled here."""
    folder = work / "culprits"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for path in (_PROGRAMS / "draw.h", _LATER / _DRAW):
        shutil.copy(path, folder)
    go = _go(work)
    services: dict[str, Any] = {}
    files = {}
    for path in [*_earlier(), *_later(), _SHARED / "coin.py"]:
        shutil.copy(path, folder)
        name = path.stem
        if path.suffix == ".py":
            target = f"/srv/{path.name}"
            command = ["python3", "-SE", target]
        else:
            _compile(path.name, folder, go)
            target = f"/srv/{name}"
            command = [target]
        files[target] = f"./{Path(target).name}"
        services[name] = {"command": command, "network_mode": "none"}
    document = {
        "x-branchpoint-debian": {"packages": ["python3-minimal"], "files": files},
        "services": services,
    }
    with (folder / "compose.yaml").open("w") as file:
        YAML(typ="safe").dump(document, file)
    path = work / "culprits.branchpoint"
    shutil.rmtree(path, ignore_errors=True)
    return bp.record(folder, path, seed=1, duration=_LENGTH)


def _go(work: Path) -> Path:
    """Debian's Go, unpacked here."""
    root = work / "go"
    if not root.exists():
        debs = debian.resolve(["golang-go"], keep=lambda name: name.startswith("golang"))
        hosttools.unpack(debs, root)
    return root / "usr" / "lib" / "go"


def _compile(source: str, folder: Path, go: Path) -> None:
    """The program beside its source, with debug information, as its name without suffix."""
    name = Path(source).stem
    command: list[str | Path] = ["cc", "-g", "-Og", "-static", "-o", name, source]
    settings = {}
    if source.endswith(".go"):
        command = [go / "bin" / "go", "build", "-o", name, source, _DRAW]
        settings = {
            "GOROOT": str(go),
            "GOCACHE": str(folder / "cache"),
            "GO111MODULE": "off",
            "CGO_ENABLED": "0",
        }
    subprocess.run(command, cwd=folder, env=os.environ | settings, check=True)


def _failing(service: str) -> bp.Failure:
    return bp.failure(exit=f"{service}.1", code=1)


def _place(run: bp.Recording, source: Path) -> int | None:
    """At which place of the culprits of a program the line at fault stands; None: nowhere."""
    lines = enumerate(source.read_text().splitlines(), 1)
    fault = next(number for number, line in lines if _MARK in line)
    found = run.contrast(_START, _failing(source.stem), by="code", horizon=_LENGTH)
    for place, row in enumerate(found.decisive, 1):
        if any(spot.line == fault and source.name in spot.file for spot in row.spots):
            return place
    return None


def _figures(words: str, places: dict[str, int | None]) -> list[Figure]:
    first = sum(place == 1 for place in places.values())
    near = sum(place is not None and place <= _NEAREST for place in places.values())
    told = ", ".join(f"{name} {place or 'not named'}" for name, place in places.items())
    name = f"the line at fault, in {len(places)} {words}"
    return [
        Figure(f"{name}, is the first culprit", f"in {first} ({told})",
               f"≥ {_FIRST * len(places):.0f}", first >= _FIRST * len(places)),
        Figure(f"{name}, is among the first three", f"in {near}",
               f"≥ {_NEAR * len(places):.0f}", near >= _NEAR * len(places)),
    ]  # fmt: skip


def _coin(run: bp.Recording, scale: Scale) -> Figure:
    """Contrasts of a program in which a coin decides, whatever code it has run."""
    named = 0
    with progress.task("a coin decides", scale.coins, "contrasts") as task:
        for seed in range(scale.coins):
            found = run.contrast(
                _START, _failing("coin"), by="code", futures=40, horizon=_LENGTH, seed=seed
            )
            named += bool(found.decisive)
            task.update(seed + 1)
    share = named / scale.coins
    name = "code is named where a coin decides"
    return Figure(name, f"in {named} of {scale.coins} contrasts", "≤ 5 %", share <= 0.05)


def _cost(work: Path) -> Figure:
    """The culprits of the demo, when its curve is there."""
    with bp.open(demo(work)) as run:
        curve = run.likelihood(_CRASH)
        started = time.monotonic()
        found = curve.culprits()
        spent = time.monotonic() - started
    named = [*found.decided, *found.decisive]
    first = named[0].where if named else "nobody"
    name = "culprits of the demo, beside its curve"
    return at_most(name, spent, _TIME, "s", f"{found.futures} futures; first: {first}")
