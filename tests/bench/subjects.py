"""The recordings that are measured. They are made here from the systems in notebooks/systems.

A recording is used again if code, images and emulator are those that made it, because a new one
would be the same, byte for byte.
"""

from __future__ import annotations

import functools
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from blake3 import blake3
from ruamel.yaml import YAML

import branchpoint as bp
from answers.truths import Known
from branchpoint import progress, system
from branchpoint.errors import BranchpointError, RecordingError
from branchpoint.guest.image import ensure_image
from branchpoint.machine import engine
from branchpoint.torture.systems import project

_ROOT = Path(__file__).parents[2]
_SYSTEMS = _ROOT / "notebooks" / "systems"
_LAYERS = ("machine", "guest", "system", "events", "store", "timeline")
_DEMO_SEEDS = (5, *range(1, 41))  # 5 failed with the image of November 2026
_DEMO_TIME = 120


@dataclass(frozen=True)
class Subject:
    """A system to record, and a container in which commands are run."""

    name: str
    container: str
    seed: int = 1
    folder: Path = _SYSTEMS
    file: str = "compose.yaml"

    @property
    def compose(self) -> Path:
        return self.folder / self.name / self.file


ARIA = Subject("aria", "primary.archive.1")
ETCD = Subject("etcd", "node1.1")
SUBJECTS = (ARIA, ETCD)
NOTEBOOKS = _ROOT / "notebooks"
TESTED = _ROOT / "tests" / "machine" / "systems"
LOST_UPDATE = Subject("lost-update", "bank.1", folder=TESTED)
SMALL = Subject("small", "server.1", folder=TESTED)


def recorded(subject: Subject, seconds: float, work: Path) -> Path:
    """A recording of ``seconds`` (virtual), whatever happens in it."""
    path = work / f"{subject.name}-{seconds:g}s.branchpoint"
    made_by = _circumstances(subject, seed=subject.seed, seconds=seconds, sources=sources(*_LAYERS))
    if not _good(path, made_by):
        _remove(path)
        bp.record(subject.compose, path, seed=subject.seed, duration=seconds).close()
        _mark(path).write_text(json.dumps(made_by))
    return path


def idle_etcd(work: Path, slack: str = "") -> Subject:
    """Three etcd nodes as in notebooks/systems, without clients; perhaps with a timer slack."""
    document = YAML(typ="safe").load(ETCD.compose)
    del document["services"]["client"]
    if slack:
        for service in document["services"].values():
            service["x-branchpoint"] = {"timer_slack": slack}
    subject = Subject(f"idle-etcd{slack and f'-{slack}'}", ETCD.container, folder=work)
    subject.compose.parent.mkdir(exist_ok=True)
    with subject.compose.open("w") as file:
        YAML(typ="safe").dump(document, file)
    return subject


def torture(work: Path, file: str) -> Subject:
    """One of the package's systems that torture the machine, prepared."""
    name = Path(file).stem
    project(work / name, file)
    return Subject(name, "", folder=work, file=file)


def known_recording(known: Known, work: Path) -> Path:
    """A failed recording of a system with a known answer."""
    path = work / f"{known.name}.branchpoint"
    made_by = _circumstances(known, until=known.horizon)  # its futures are kept with it
    if not _good(path, made_by):
        _remove(path)
        known.record(path)
        _mark(path).write_text(json.dumps(made_by))
    return path


def demo(work: Path) -> Path:
    """The demo: Aria up to its failure, with the first seed that makes it fail."""
    path = work / "demo.branchpoint"
    made_by = _circumstances(ARIA, until="exit")
    if _good(path, made_by):
        return path
    with progress.task("recording aria until it fails", len(_DEMO_SEEDS), "seeds") as task:
        for number, seed in enumerate(_DEMO_SEEDS):
            task.update(number)
            _remove(path)
            with bp.record(
                ARIA.compose, path, seed=seed, duration=_DEMO_TIME, until="exit:*"
            ) as run:
                failed = run.manifest.failure is not None
            if failed:
                _mark(path).write_text(json.dumps(made_by))
                return path
    raise BranchpointError(f"no seed of {_DEMO_SEEDS} makes aria fail in {_DEMO_TIME} s")


@functools.cache
def sources(*parts: str) -> str:
    """A digest of the code in these folders and files of the package."""
    package = Path(bp.__file__).parent
    digest = blake3()
    for part in parts:
        for path in sorted({package / part, *(package / part).rglob("*.[pch]*")}):
            if path.suffix in (".py", ".c", ".h"):
                digest.update(f"{path.relative_to(package)}\0".encode() + path.read_bytes())
    return digest.hexdigest(16)


def identity() -> str:
    """What decides whether a replay is exact and fast: code of the machine, emulator, guest."""
    return f"{sources('machine')} {machine()}"


def machine() -> str:
    """The emulator and the guest, which decide what happens in a run."""
    return f"{engine.find().fingerprint} {ensure_image().digest}"


def _circumstances(subject: Subject | Known, **how: Any) -> dict[str, Any]:
    return {
        **how,
        "engine": engine.find().fingerprint,
        "guest": ensure_image().digest,
        "system": system.build(subject.compose).digest,
    }


def _mark(path: Path) -> Path:
    """The file that tells what a finished recording was made by."""
    return path.with_suffix(".made.json")


def _good(path: Path, made_by: dict[str, Any]) -> bool:
    try:
        if json.loads(_mark(path).read_text()) != made_by:
            return False
        with bp.open(path) as run:
            return not run.warnings
    except (OSError, ValueError, RecordingError):
        return False


def _remove(path: Path) -> None:
    _mark(path).unlink(missing_ok=True)
    if path.exists():
        shutil.rmtree(path)
