"""``prepare_multiverse_debugging()``: a session that uses the names of the original debugger.

``[environment, moment] = prepare_multiverse_debugging()`` opens a recording. The environment's
methods take their arguments as ``{moment, path, container}``, which in Python is a set (each
element is recognised by its type and form), as a dict, or by name. All of them call a Recording and
its moments.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any

import branchpoint as bp
from branchpoint.errors import BranchpointError, RecordingError
from branchpoint.sharing.bundle import share
from branchpoint.timeline.commands.process import Host

VARIABLE = "BRANCHPOINT_RECORDING"
SUFFIX = ".branchpoint"


def prepare_multiverse_debugging(path: str | os.PathLike[str] | None = None) -> list[Any]:
    """Open a recording and return ``[environment, moment]``.

    The recording is ``path``, or else the one named by the environment variable
    BRANCHPOINT_RECORDING, or else the newest ``*.branchpoint`` in the current folder, or else the
    newest bundle (``*.bpz``) there. The moment is the recording's failure, or its end when nothing
    failed.

    :raises RecordingError: when there is no recording, or when it cannot be opened.
    """
    run = bp.open(find_recording(path))
    moment = run.end
    with contextlib.suppress(BranchpointError):  # nothing failed
        moment = run.failure
    return [Environment(run), moment]


def find_recording(path: str | os.PathLike[str] | None = None) -> Path:
    """The path of the recording that :func:`prepare_multiverse_debugging` opens.

    :raises RecordingError: when none is given and none is in the current folder.
    """
    path = path or os.environ.get(VARIABLE)
    if path:
        return Path(path)
    here = [path for path in Path.cwd().iterdir() if not path.name.startswith(".")]
    found = [path for path in here if path.suffix == SUFFIX]
    found = found or [path for path in here if path.suffix == share.SUFFIX]
    if not found:
        raise RecordingError(
            f"no recording here: there is no *{SUFFIX} or *{share.SUFFIX} in {Path.cwd()}",
            f'name one: prepare_multiverse_debugging("path/to/name{SUFFIX}"), or set {VARIABLE}',
        )
    return max(found, key=lambda p: (p.stat().st_mtime_ns, p.name))


class Environment:
    """The recorded system: its containers, files and events."""

    host = Host()
    """The guest itself, in place of a container."""

    def __init__(self, run: bp.Recording) -> None:
        self.run = run
        self.containers = Containers()

    @property
    def events(self) -> bp.EventSet:
        """Everything that happened in the recording."""
        return self.run.events

    def extract_file(self, given: Any = None, /, **named: Any) -> bytes:
        """The bytes of a file: ``extract_file({moment, path, container})``.

        ``path`` is absolute; without ``container`` it is a path in the guest itself.

        :raises BranchpointError: when an argument is missing, given twice or unknown, and as
            :meth:`Moment.extract_file` does.
        """
        asked = _arguments(given, named, needed=("moment", "path"), possible=("container",))
        return asked["moment"].extract_file(asked["path"], asked.get("container", ""))

    def __repr__(self) -> str:
        return f"Environment({self.run!r})"


class Containers:
    """``environment.containers``."""

    def list(self, given: Any = None, /, **named: Any) -> Any:
        """The containers at a moment, with name, id, state and image: ``list({moment})``.

        :raises BranchpointError: when the moment is missing, or another argument is given.
        """
        return _arguments(given, named, needed=("moment",))["moment"].containers()

    def __repr__(self) -> str:
        return "environment.containers: list them with list({moment})"


def _arguments(
    given: Any, named: dict[str, Any], needed: tuple[str, ...], possible: tuple[str, ...] = ()
) -> dict[str, Any]:
    """Arguments by name, from a set, a dict or one value, and from keywords."""
    if isinstance(given, dict):
        named = {**given, **named}
    elif given is not None:
        elements = given if isinstance(given, set | frozenset) else {given}
        for element in elements:
            name = _kind(element)
            if name in named:
                raise BranchpointError(f"{name} is given twice: {named[name]!r} and {element!r}")
            named = {**named, name: element}
    names = ", ".join((*needed, *possible))
    for name in named:
        if name not in (*needed, *possible):
            raise BranchpointError(f"{name} is not an argument here", f"give {{{names}}}")
    for name in needed:
        if named.get(name) is None:
            raise BranchpointError(f"{name} is missing", f"give {{{names}}}")
    moment = named["moment"]
    return {**named, "moment": moment.end if isinstance(moment, bp.Branch) else moment}


def _kind(element: Any) -> str:
    """Which argument an element of ``{moment, path, container}`` is."""
    if isinstance(element, bp.Moment | bp.Branch):
        return "moment"
    if isinstance(element, os.PathLike) or (isinstance(element, str) and element.startswith("/")):
        return "path"
    if isinstance(element, str | Host):
        return "container"
    raise BranchpointError(
        f"{element!r} is not a moment, a path or a container",
        "a path starts with /; a container is given by its name",
    )
