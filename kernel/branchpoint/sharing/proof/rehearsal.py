"""A test of everything on a small system: it is recorded, branched, checked and verified.

The program in its one container depends on state that is easily lost. It is recorded, branches with
commands and seeds leave the recording at random instants, and each is run again from an earlier
state; finally every checkpoint is entered (:mod:`verify`). It needs no file from outside.
"""

from __future__ import annotations

import hashlib
import io
import json
import random
import tarfile
from dataclasses import dataclass, field
from pathlib import Path

from branchpoint import progress
from branchpoint.errors import DivergenceError
from branchpoint.futures.recording import record
from branchpoint.guest.compiler import static_program
from branchpoint.sharing.proof.verify import Verified, verify
from branchpoint.timeline.recording import Recording

_SOURCE = Path(__file__).with_name("rehearsal.c")
_CONTAINER = "strain.1"
_COMPOSE = """\
name: rehearsal
x-branchpoint: {ram: 256m, upper: 4m}
services:
  strain:
    image: ./strain.tar
    command: [/strain]
    network_mode: none
"""
_SECONDS = 2  # virtual
_COMMANDS = (
    "cat /proc/uptime /proc/loadavg",
    "head -c 8 /dev/urandom | od -An -tx1",
    "for i in 1 2 3; do date +%N; sleep 0.02; done",
)


@dataclass(frozen=True)
class Rehearsed:
    """The result. True when nothing differed."""

    verified: Verified
    branches: int = 0
    """Branches that were run, and run again."""
    same: int = 0
    """How many of them were the same the second time: events, output, the whole machine."""
    problems: list[str] = field(default_factory=list)
    """How the others differed, in words, each difference once."""

    def __bool__(self) -> bool:
        return bool(self.verified) and not self.problems

    def __str__(self) -> str:
        found = self.verified
        lines = [
            f"rehearsal: {self.same} of {self.branches} branches with actions the same when run "
            "again from an earlier state",
            f"           {found.equal} of {found.states} states of the recording equal; of "
            f"{found.restorable} that were entered, {found.restored} ran on as recorded in one "
            f"emulator, {found.restored_afresh} in fresh ones",
        ]
        return "\n".join([*lines, *(f"  differs: {each}" for each in self._differing())])

    def _differing(self) -> list[str]:
        return [*self.problems, *self.verified.problems]


def rehearse(folder: Path, branches: int = 5, seed: int = 0) -> Rehearsed:
    """Record, branch so many times, check and verify; ``folder`` is for what is made.

    :raises BranchpointError: when something needed is missing.
    """
    (folder / "strain.tar").write_bytes(_image(static_program([_SOURCE])))
    (folder / "compose.yaml").write_text(_COMPOSE)
    chance = random.Random(seed)
    same, problems = 0, list[str]()
    with record(
        folder / "compose.yaml", folder / "strain.branchpoint", seed=seed, duration=_SECONDS
    ) as run:
        with progress.task("checking branches", branches, "branches") as task:
            for number in range(branches):
                task.update(number)
                try:
                    _branch(run, chance)
                    same += 1
                except DivergenceError as error:
                    if error.message not in problems:
                        problems.append(error.message)
        return Rehearsed(verify(run), branches, same, problems)


def _branch(run: Recording, chance: random.Random) -> None:
    """Make a branch with something done to it, and check that it is the same when run again."""
    seed = chance.choice([None, chance.randrange(1000)])
    branch = run.at(chance.uniform(0.1, run.duration)).branch(seed)
    container = chance.choice(["", _CONTAINER])
    branch.run_command(chance.choice(_COMMANDS), container, raw=chance.random() < 0.5).wait()
    branch.wait(0.2)
    branch.check()


def _image(program: bytes) -> bytes:
    """A container image with nothing in it but this program, as `docker save` writes it."""
    files = _tar({"strain": (program, 0o755)})
    config = {
        "architecture": "amd64",
        "os": "linux",
        "config": {},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(files).hexdigest()}"]},
    }
    listing = [{"Config": "config.json", "RepoTags": ["strain:1"], "Layers": ["layer.tar"]}]
    return _tar(
        {
            "layer.tar": (files, 0o644),
            "config.json": (json.dumps(config).encode(), 0o644),
            "manifest.json": (json.dumps(listing).encode(), 0o644),
        }
    )


def _tar(files: dict[str, tuple[bytes, int]]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, (data, mode) in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(data), mode
            tar.addfile(member, io.BytesIO(data))
    return out.getvalue()
