"""An emulator for ARM64 goes through the same states as the one for x86-64, bit for bit.

It runs under qemu-user, which translates each of its instructions: some 25 times slower than on
such a computer, so only short parts of recordings are replayed. What cannot work there is left out:
the sandbox (its calls have other numbers here) and the kernel's tracking of changed pages.
"""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from places import HERE

import branchpoint as bp
from branchpoint import files
from branchpoint.cache import cache_dir
from branchpoint.machine import engine, sandbox
from branchpoint.machine.computer import Computer
from branchpoint.machine.engine import Engine
from branchpoint.machine.watching.bytecode import Bytecode
from branchpoint.machine.watching.coverage import Coverage
from branchpoint.timeline.replaying.player import Player
from branchpoint.torture.systems import PROBES, project

pytestmark = pytest.mark.long

ARM64 = HERE / "arm64"
TIMEKEEPER = Path(engine.__file__).with_name("timekeeper")
COMPILER = "aarch64-linux-gnu-gcc"
TRANSLATOR = shutil.which("qemu-aarch64-static") or shutil.which("qemu-aarch64") or "missing"
LIBRARIES = "usr/lib/aarch64-linux-gnu"
FAR = 60_000_000
"""In so many ns programs check dozens of results, and no more is replayed than needed."""


@dataclass(frozen=True)
class Foreign(Engine):
    """An emulator of other packages, run by a translator."""

    def command(self, root: str = "") -> list[str]:
        place = root or str(self.root)
        loader = f"{place}/{LIBRARIES}/ld-linux-aarch64.so.1"
        return [TRANSLATOR, loader, "--library-path", f"{place}/{LIBRARIES}",
                f"{place}/usr/bin/{self.qemu.name}"]  # fmt: skip


@pytest.fixture(scope="module")
def packages() -> Path:
    """The unpacked packages of QEMU for ARM64, fetched once for this computer."""
    folder = cache_dir() / "arm64" / "qemu"
    if not folder.exists():
        with files.publish(folder) as unfinished:
            subprocess.run(
                [sys.executable, ARM64 / "fetch.py", unfinished],
                env=os.environ | {"BRANCHPOINT_CACHE": str(folder.parent / "cache")},
                check=True,
            )
    return folder


@pytest.fixture(scope="module")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The plugin for ARM64, as strictly compiled as for this computer."""
    made = tmp_path_factory.mktemp("plugin") / "timekeeper.so"
    units = [file for file in engine._UNITS if file.name != "confine.c"]
    strict = [*engine.PLUGIN, "-Werror", "-I", str(TIMEKEEPER)]
    subprocess.run([COMPILER, *strict, "-o", made, *units, ARM64 / "confine.c"], check=True)
    return made


@pytest.fixture(scope="module")
def arm64(packages: Path, plugin: Path) -> Engine:
    qemu = packages / "usr/bin/qemu-system-x86_64"
    return Foreign(qemu, "for ARM64", plugin, "of ARM64", "of ARM64", packages)


@pytest.fixture(autouse=True)
def without_a_sandbox(monkeypatch: pytest.MonkeyPatch) -> None:
    start = sandbox.start

    def bare(command: Iterable[str], fds: Iterable[int], said: int) -> sandbox.Emulator:
        words = list(command)
        if words[0] == TRANSLATOR:
            at = words.index("-sandbox")
            del words[at : at + 2]
        return start(words, fds, said)

    monkeypatch.setattr(sandbox, "start", bare)


def replay(run: bp.Recording, by: Engine, begin: int, end: int, times: int = 1) -> None:
    """Go from a checkpoint to a later instant with a known state, both in absolute ns.

    Events and states are compared on the way, as in every replay.
    """
    replayer, root = run.replayer, run.replayer.root
    start = replayer.snapshot
    spec = replace(start.spec, engine=by)
    with Computer(spec, template=start.template, pool=replayer.pool, track=False) as computer:
        player = Player(computer)
        for _ in range(times):
            player.restore(root, root.point(begin), replayer.load(begin), "checkpoint")
            replayer.replay(player, root, root.point(end))
        assert computer.digest() == run.files.digests[end]


def test_the_plugins_and_the_launcher_compile_for_arm64(tmp_path: Path) -> None:
    strict = [*engine.PLUGIN, "-Werror"]
    subprocess.run([COMPILER, *strict, "-o", tmp_path / "x.so", *engine._UNITS], check=True)
    for watcher in (Bytecode, Coverage):
        target = tmp_path / f"{watcher.source.stem}.so"
        subprocess.run([COMPILER, *strict, "-o", target, watcher.source], check=True)
    launcher = [COMPILER, "-O2", "-Wall", "-Wextra", "-Werror", "-o", tmp_path / "launcher"]
    subprocess.run([*launcher, Path(sandbox.__file__).with_name("launcher.c")], check=True)


def test_it_replays_the_demo_and_rewinds_it(failing_aria: Path, arm64: Engine) -> None:
    """Past its failure, from the last checkpoint before."""
    with bp.open(failing_aria) as run:
        failure = run.failure.at
        begin = max(at for at in run.files.checkpoints if at < failure)
        end = min(at for at in run.files.digests if at > failure)
        replay(run, arm64, begin, end, times=2)


@pytest.mark.long
def test_it_replays_programs_that_check_their_arithmetic(
    arm64: Engine, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Here, another processor's arithmetic would show."""
    folder = tmp_path_factory.mktemp("probes")
    with bp.record(project(folder / "project", PROBES), folder / "run", seed=1, duration=1) as run:
        _, begin, end = min(
            (end - begin, begin, end)
            for begin, end in itertools.product(run.files.checkpoints, run.files.digests)
            if end - begin >= FAR and end > run.origin + FAR  # before, they do not run yet
        )
        said = run.events.where(text="kept", start=run.at_ns(begin), end=run.at_ns(end))
        assert len(said) > 10
        replay(run, arm64, begin, end)
