"""Files through which programs in containers talk to the tester, as the Antithesis SDKs do.

Every container has a folder for it, which ``ANTITHESIS_OUTPUT_DIR`` names. An SDK appends lines of
JSON to ``sdk.jsonl`` in there, or to the file that ``ANTITHESIS_SDK_LOCAL_OUTPUT`` names; if the
service says where these are, they are there. ``ANTITHESIS_STOP_FAULTS`` names a program that asks
for a few seconds without faults. SDKs that find :data:`LIBRARY` write through it. The agent reads
what is written.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable
from dataclasses import replace
from shlex import quote

from branchpoint.guest.toolbox import STOP_FAULTS, VOIDSTAR
from branchpoint.system.bundle.oci import RUN, Bind, Process
from branchpoint.system.model import ContainerSpec

FOLDER = "/dev/branchpoint/sdk"
"""Where every container has its folder."""
LIBRARY = "/usr/lib/libvoidstar.so"
"""Where SDKs look for the library. An image's own one is for another machine: ours is in its place.
"""
_FILE = "ANTITHESIS_SDK_LOCAL_OUTPUT"
_OUTPUT = "ANTITHESIS_OUTPUT_DIR"
_STOP = "ANTITHESIS_STOP_FAULTS"
_NAME = "sdk.jsonl"
_SIZE = "64m"  # of what was written and not read yet


def connect(
    process: Process, container: ContainerSpec, *, library: bool
) -> tuple[Process, list[Bind]]:
    """A container's process with the variables that name its files, and the mounts of these.

    ``library``: whether :data:`LIBRARY` is mounted, too.
    """
    given = dict(entry.split("=", 1) for entry in process.environment)

    def absolute(path: str) -> str:
        return posixpath.normpath(posixpath.join(process.working_dir, path))

    folder = absolute(given.get(_OUTPUT) or FOLDER)
    file = absolute(given.get(_FILE) or posixpath.join(folder, _NAME))
    named = {_OUTPUT: folder, _FILE: file, _STOP: f"{FOLDER}/stop-faults"}
    added = [f"{name}={value}" for name, value in named.items() if not given.get(name)]
    kept = [entry for entry in process.environment if entry not in {f"{name}=" for name in named}]
    place = _place(container)
    binds = [Bind(place, each, False) for each in dict.fromkeys([FOLDER, folder])]
    binds.append(Bind(STOP_FAULTS, named[_STOP], True))
    if library:
        binds.append(Bind(VOIDSTAR, LIBRARY, True))
    if file not in (f"{FOLDER}/{_NAME}", f"{folder}/{_NAME}"):
        binds.append(Bind(f"{place}/{_NAME}", file, False))
    return replace(process, environment=(*kept, *added)), binds


def set_up(containers: Iterable[tuple[ContainerSpec, Process, list[Bind]]]) -> list[str]:
    """The lines of setup.sh that make the folders of containers, which have these mounts."""
    lines = [
        f"mkdir -p {RUN}/sdk",
        f"mount -t tmpfs -o size={_SIZE},mode=755 branchpoint {RUN}/sdk",
    ]
    made: set[str] = set()
    for container, process, binds in containers:
        place = _place(container)
        if place not in made:  # one version of a container comes after the other
            made.add(place)
            lines.append(f"mkdir -m 1777 {quote(place)}")
        if any(bind.source == f"{place}/{_NAME}" for bind in binds):  # it has to be there
            file, owner = quote(f"{place}/{_NAME}"), process.identity
            lines += [f": > {file}", f"chmod 666 {file}", f"chown {owner.uid}:{owner.gid} {file}"]
    return lines


def _place(container: ContainerSpec) -> str:
    """The folder in the guest."""
    return f"{RUN}/sdk/{container.name}"
