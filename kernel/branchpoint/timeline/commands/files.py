"""Files out of the machine, as they are at one moment.

Reading a file runs a command, which would change the timeline, so it is done on a temporary branch.
There every container is paused first and the recorded future is left out. So even a large file is
read as it was at the moment, although reading takes a few tenths of a second.
"""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from branchpoint.errors import BranchpointError, ContainerError
from branchpoint.events.event import Event
from branchpoint.store import disk

if TYPE_CHECKING:
    from branchpoint.timeline.branch import Branch
    from branchpoint.timeline.commands.process import Process
    from branchpoint.timeline.moment import Moment

_LARGEST = 512 << 20
"""Bytes; some files of /proc never end, and what is read is held in memory."""
_TIME = 60_000_000_000  # ns that reading may take: fifty megabytes a second are usual
_STEP = 10_000_000  # ns between looks whether it has been read
_TOOLS = '"${PATH##*:}"'  # the toolbox's folder, the last one of the search path

# A pipe, a device or a socket could be read for ever.
_FILE = """\
[ -f {path} ] || [ -d {path} ] || [ ! -e {path} ] || {{ echo ': not a regular file' >&2; exit 1; }}
exec {tools}/cat {path}
"""
_TREE = """\
[ -d {path} ] || [ ! -e {path} ] || {{ echo ': not a directory' >&2; exit 1; }}
exec {tools}/tar --sort=name --numeric-owner --one-file-system -C {path} -cf - .
"""


def extract_file(
    moment: Moment,
    path: str | os.PathLike[str],
    container: str = "",
    save: str | os.PathLike[str] | None = None,
) -> bytes:
    """The content of a file in a container, running or exited (none: in the guest itself).

    ``path`` is absolute. ``save`` also writes it to a file here.

    :raises ContainerError: when there is no such file, or it cannot be read.
    """
    return _kept(_read(moment, _FILE, path, container), save)


def extract_tree(
    moment: Moment,
    path: str | os.PathLike[str],
    container: str = "",
    save: str | os.PathLike[str] | None = None,
) -> bytes:
    """A directory with everything below it as a tar archive; other mounts there are left out.

    Its names and links come from programs in the machine: unpack it with ``tarfile``'s filter
    ``"data"``.

    :raises ContainerError: when there is no such directory, or it cannot be read.
    """
    return _kept(_read(moment, _TREE, path, container), save)


def branch_aside(moment: Moment) -> Branch:
    """A branch for looking at something; coming back to the moment stays as quick as it was."""
    replayer = moment.run.replayer
    with replayer.lock:
        # The emulator that stands there goes on with the new branch.
        replayer.remember(replayer.bring(moment._history, moment._point))
    from branchpoint.timeline.branch import Branch

    return Branch(moment.run, moment._history.branch(moment._point))  # not one of the user's


def has_ended(process: Process, new: list[Event]) -> bool:
    """Whether one of these events is the exit of that command."""
    return any(e.type == "process.exit" and e.fields.get("id") == str(process.number) for e in new)


def write_here(path: str | os.PathLike[str], data: bytes) -> Path:
    """Write a file on this computer.

    :raises BranchpointError: when it cannot be written.
    """
    target = Path(path)
    try:
        target.write_bytes(data)
    except OSError as error:
        raise BranchpointError(
            f"{target} cannot be written: {error.strerror}", disk.advised(error)
        ) from error
    return target


def _kept(data: bytes, save: str | os.PathLike[str] | None) -> bytes:
    if save is not None:
        write_here(save, data)
    return data


def _read(moment: Moment, script: str, path: str | os.PathLike[str], container: str) -> bytes:
    """What ``script``, which reads ``path``, prints while everything else stands still."""
    wanted = os.fspath(path)
    if not wanted.startswith("/"):
        raise ContainerError(f"{wanted!r} is not an absolute path", "begin it with /")
    branch = branch_aside(moment)
    history = branch._history
    del history.inputs[history.tip.count :]
    for one in moment.containers():
        if one.state == "running":
            branch.control("pause", one.name)
    command = script.format(path=shlex.quote(wanted), tools=_TOOLS)
    process = branch.run_command(command, container, raw=True, privileged=True)

    read = history.raw.setdefault(process.number, {}).setdefault("out", bytearray())

    def enough(new: list[Event]) -> bool:
        return len(read) > _LARGEST or has_ended(process, new)

    moment.run.replayer.play(history, history.tip.at + _TIME, enough, _STEP)
    if process.exit_code == 0:
        return bytes(read)
    place = f"{wanted} in {process.container or 'the guest'} at {moment.id}"
    if len(read) > _LARGEST:
        raise ContainerError(f"{place} has more than {_LARGEST >> 20} MiB, or never ends")
    if process.running:
        seconds = _TIME // 1_000_000_000
        raise ContainerError(f"{place} was not read to its end in {seconds} virtual seconds")
    errors = process.raw("err").decode(errors="replace").strip()
    why = errors.rpartition(": ")[2][:200] or f"exit code {process.exit_code}"
    hint = "extract_tree gives a directory as a tar archive" if why == "Is a directory" else ""
    raise ContainerError(f"{place} cannot be read: {why}", hint)
