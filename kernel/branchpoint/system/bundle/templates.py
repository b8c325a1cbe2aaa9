"""Test templates: commands in containers that the guest's composer runs.

They lie where programs written for Antithesis have them, ``/opt/antithesis/test/v1/TEMPLATE/NAME``,
in an image or in a directory of the project that is mounted there. A name begins with the kind of
the command; files whose name begins with ``helper_`` are for the commands. ``chance/composer.c`` of
the agent says what each kind means.
"""

from __future__ import annotations

import posixpath
import re
import stat
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from branchpoint.errors import ImageError
from branchpoint.guest.tree import Tree
from branchpoint.system.model import Mount

FOLDER = "/opt/antithesis/test/v1"
_KINDS = {
    "first_": "first",
    "parallel_driver_": "parallel",
    "serial_driver_": "serial",
    "singleton_driver_": "singleton",
    "anytime_": "anytime",
    "eventually_": "eventually",
    "finally_": "finally",
}
"""How names begin, and what the agent calls the kind."""
_DRIVERS = ("parallel", "serial", "singleton", "anytime")
"""Of these a template needs at least one."""
_HELPER = "helper_"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,200}")


class Command(NamedTuple):
    """A test command."""

    kind: str
    template: str
    name: str
    """Of its file."""

    def __str__(self) -> str:
        return f"{self.template}/{self.name}"


def command_kind(name: str) -> str:
    """The kind of the command with this file name, as the agent calls it; "" for other files."""
    return next((kind for start, kind in _KINDS.items() if name.startswith(start)), "")


def find(files: Tree, mounts: Iterable[Mount]) -> list[Command]:
    """The test commands of a container with this image and these mounts, sorted by their paths.

    :raises ImageError: for a file that is no command, or one that cannot be run.
    """
    view = _View(files, mounts)
    return [
        command
        for template in view.names(FOLDER)
        if not template.startswith(_HELPER)
        for name in _files(view, template)
        if (command := _command(view, template, name)) is not None
    ]


def _files(view: _View, template: str) -> Sequence[str]:
    path = f"{FOLDER}/{template}"
    if not stat.S_ISDIR(view.mode(path)):
        raise ImageError(f"{path} is no directory", "a test template is a directory of commands")
    if not _NAME.fullmatch(template):
        raise ImageError(f"{path}: the template's name has unusual characters", _usual())
    return view.names(path)


def _command(view: _View, template: str, name: str) -> Command | None:
    path = f"{FOLDER}/{template}/{name}"
    if name.startswith(_HELPER):
        return None
    kind = command_kind(name)
    if not kind:
        raise ImageError(
            f"{path} is of no kind that is known",
            f"names of test commands begin with {', '.join(_KINDS)}; others with {_HELPER}",
        )
    if not _NAME.fullmatch(name):
        raise ImageError(f"{path}: its name has unusual characters", _usual())
    mode = view.mode(path)
    if not stat.S_ISREG(mode) or not mode & 0o111:
        what = "it is not executable" if stat.S_ISREG(mode) else "it is no file"
        raise ImageError(f"{path} cannot be run: {what}", f"chmod +x {name}")
    return Command(kind, template, name)


def _usual() -> str:
    return "take letters, digits, '_', '.' and '-'"


def check(commands: Iterable[Command]) -> None:
    """Refuse a template in which nothing drives the system. Give all commands of a system.

    :raises ImageError: with the template's name.
    """
    kinds: dict[str, set[str]] = {}
    for command in commands:
        kinds.setdefault(command.template, set()).add(command.kind)
    for template, found in kinds.items():
        if found.isdisjoint(_DRIVERS):
            names = ", ".join(start for start, kind in _KINDS.items() if kind in _DRIVERS)
            raise ImageError(
                f"the test template {template} has no command that begins with {names}",
                "without one of these it tests nothing",
            )


def lines(commands: Iterable[Command]) -> list[str]:
    """Lines of system.conf, for the container that has these commands."""
    return [f"test {each.kind} {each.template} {each.name}" for each in commands]


def listed(configuration: str) -> dict[str, list[str]]:
    """The test commands of each container that has some, in the lines of a system.conf."""
    found: dict[str, list[str]] = {}
    container = ""
    for line in configuration.splitlines():
        match line.split(" "):
            case ["container", name]:
                container = name
            case ["test", kind, template, name]:
                found.setdefault(container, []).append(str(Command(kind, template, name)))
    return found


class _View:
    """Files as a container sees them: those of its image, with the project's mounted over them."""

    def __init__(self, files: Tree, mounts: Iterable[Mount]) -> None:
        self._files = files
        self._mounts: Mapping[str, Path] = {
            posixpath.normpath(mount.target): Path(mount.source)
            for mount in mounts
            if mount.kind == "bind"
        }

    def _mounted(self, path: str) -> Path | None:
        """Where on this computer it lies; None: in the image."""
        around = [t for t in self._mounts if path == t or path.startswith(f"{t}/")]
        if not around:
            return None
        target = max(around, key=len)
        return self._mounts[target] / path[len(target) :].lstrip("/")

    def names(self, path: str) -> Sequence[str]:
        """What a directory has, sorted; nothing where there is none."""
        below = {
            target[len(path) + 1 :].partition("/")[0]
            for target in self._mounts
            if target.startswith(f"{path}/")
        }
        mounted = self._mounted(path)
        if mounted is not None:
            own = {each.name for each in mounted.iterdir()} if mounted.is_dir() else set()
        else:
            node = self._files.get(path)
            own = set(node.children) if node is not None else set()
        return sorted(own | below)

    def mode(self, path: str) -> int:
        """Type and rights of a file, links followed; 0 where there is none."""
        mounted = self._mounted(path)
        if mounted is not None:
            return mounted.stat().st_mode if mounted.exists() else 0
        node = self._files.get(path)
        if node is None and any(target.startswith(f"{path}/") for target in self._mounts):
            return stat.S_IFDIR
        return node.mode if node is not None else 0
