"""Pipes through which programs in containers talk to the tester, as the Antithesis SDKs do.

An SDK appends lines of JSON to the file that ``ANTITHESIS_SDK_LOCAL_OUTPUT`` names, or to
``sdk.jsonl`` in ``ANTITHESIS_OUTPUT_DIR``. If a container has one of these in its environment,
a pipe to the agent is mounted there; with ``setup: sdk`` in ``x-branchpoint``, every container
has the first.
"""

from __future__ import annotations

import posixpath
from dataclasses import replace

from branchpoint.system.bundle.oci import RUN, Bind, Process
from branchpoint.system.model import ContainerSpec

_FILE = "ANTITHESIS_SDK_LOCAL_OUTPUT"
_FOLDER = "ANTITHESIS_OUTPUT_DIR"
_NAME = "sdk.jsonl"
_PLACE = "/.branchpoint-sdk"


def connect(process: Process, container: ContainerSpec, always: bool) -> tuple[Process, list[Bind]]:
    """A container's process with the variable that names its pipe, and the mounts of the pipe."""
    given = dict(entry.split("=", 1) for entry in process.environment)
    places = []
    if given.get(_FILE):
        places.append(given[_FILE])
    if given.get(_FOLDER):
        places.append(posixpath.join(given[_FOLDER], _NAME))
    if always and not given.get(_FILE):
        places.append(_PLACE)
        process = replace(process, environment=(*process.environment, f"{_FILE}={_PLACE}"))
    pipe = f"{RUN}/sdk/{container.name}"
    absolute = (posixpath.normpath(posixpath.join(process.working_dir, each)) for each in places)
    return process, [Bind(pipe, target, False) for target in dict.fromkeys(absolute)]
