"""Packages' own scripts, run when an image is built: users, alternatives, PAM, certificates.

They run in the deterministic machine (:mod:`branchpoint.guest.workshop`), in the order in which
debootstrap and dpkg run them: what Debian calls *configuring*. What comes of it is kept by content.
"""

from __future__ import annotations

import json
import posixpath
import re
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from shlex import quote
from typing import IO

from blake3 import blake3

from branchpoint import progress
from branchpoint.cache import cache_dir
from branchpoint.errors import ImageError
from branchpoint.files import locked, publish
from branchpoint.guest import changes, debian, unpacking, workshop
from branchpoint.guest.tree import EPOCH, Tree
from branchpoint.guest.unpacking import Package, Unpacked
from branchpoint.guest.workshop import Outcome
from branchpoint.system.images import installed
from branchpoint.system.images.tarscan import scan

_FAILED = re.compile(r"dpkg: error processing (?:package|archive) (\S+)(?: \(--(\w+)\))?:")
_SETTING_UP = re.compile(r"Setting up (\S+) \(")
_ENDED = re.compile(r"branchpoint: (preinst|command) (\S+) ended with code (\d+)")
_SCRIPTS = Path(__file__).parent / "scripts"
_SHOWN = 12  # last lines of output in an error
_LONGEST = 300  # characters of each


def configured(debs: Iterable[debian.Deb], base: Iterable[debian.Deb]) -> Tree:
    """A file system in which ``debs`` are installed.

    Those of them that are in ``base`` are installed first, which is done once for all images.

    :raises ImageError: when a package's script fails, with its name and last words.
    """
    debs, base = list(debs), list(base)
    packages = [[(deb.name, deb.version, deb.sha256) for deb in each] for each in (debs, base)]
    key = blake3(json.dumps([workshop.fingerprint(), packages]).encode())
    for source in _made_by():
        key.update(source.read_bytes())
    return installed.kept(key.hexdigest(16), lambda: _install(debs, base))


def _made_by() -> list[Path]:
    """The files of our own that decide what comes of packages."""
    code = [*Path(unpacking.__file__).parent.glob("*.py"), Path(__file__), Path(installed.__file__)]
    return sorted([*code, *_SCRIPTS.iterdir()])


def _install(debs: list[debian.Deb], base: list[debian.Deb]) -> Tree:
    rest = [deb for deb in debs if deb not in base]
    if not rest or not set(base) <= set(debs):
        unpacked = unpacking.unpack(debs)
        _set_up(unpacked, [])
        return unpacked.tree
    below = unpacking.found(configured(base, base), base)
    _set_up(unpacking.unpack(rest, below), below.packages)
    return below.tree


def _set_up(unpacked: Unpacked, before: list[Package]) -> None:
    """Run the scripts of what was unpacked; the packages ``before`` are configured."""
    with progress.task("setting up packages", len(unpacked.packages), "packages") as task:
        done = 0

        def tell(line: str) -> None:
            nonlocal done
            match = _SETTING_UP.match(line)
            done += match is not None
            task.update(done, match[1] if match else None)

        extra = Tree()
        for package in unpacked.left:
            extra.add_file(f"{package.name}.deb", package.deb.path)
        try:
            change(unpacked.tree, _script(unpacked, before), extra, tell, task.update)
        except Failed as failure:
            raise failure.error([]) from None


def run(tree: Tree, commands: Iterable[str]) -> None:
    """Run commands in ``tree``, by its own shell, as root.

    :raises ImageError: when one of them fails, with its last words.
    """
    commands = list(commands)
    lines = [f"run command {n} sh -ec {quote(text)}\n" for n, text in enumerate(commands)]
    with progress.task("running the image's commands") as task:
        script = "".join([_text("run.sh"), *lines])

        def tell(line: str) -> None:
            task.update(note=line[:_LONGEST])

        try:
            change(tree, script, Tree(), tell, task.update)
        except Failed as failure:
            raise failure.error(commands) from None


def change(
    tree: Tree,
    script: str,
    extra: Tree,
    tell: Callable[[str], None],
    tick: Callable[[], None],
    enter: Path = workshop.ENTER,
) -> None:
    """Change ``tree`` into what the script makes of it; the first time, run it.

    The arguments are those of :func:`branchpoint.guest.workshop.changed`.

    :raises Failed: when it ends with another code than 0.
    :raises ImageError: when it does not end, or writes too much.
    """
    key = _key(tree, script, extra, enter)
    kept = cache_dir() / "changes" / key
    with locked(f"changes-{key}"):
        if not kept.exists():
            with workshop.changed(tree, script, extra, tell, tick, enter) as (outcome, file):
                if file is None:
                    raise Failed(outcome)
                check(file)
                file.seek(0)
                with publish(kept) as unfinished, unfinished.open("wb") as copy:
                    shutil.copyfileobj(file, copy, 1 << 20)
        upper = Tree()
        with kept.open("rb") as source:
            upper.apply_tar(source, latest=EPOCH)
    changes.apply(tree, upper)


def check(file: IO[bytes]) -> None:
    """Refuse a tar file of changes that no overlay's upper layer can be.

    In one, every entry lies in a directory that has an entry of its own before it, and no name
    occurs twice. So nothing leads through a link.

    :raises ImageError: saying what is wrong.
    """
    directories = {""}
    names = set()
    for entry in scan(file, "what the scripts have changed"):
        name = posixpath.normpath("/" + entry.name)[1:]
        if ".." in entry.name.split("/"):
            raise ImageError(f"what the scripts have changed has the name {entry.name!r:.300}")
        if name in names:
            raise ImageError(f"what the scripts have changed has the entry {name!r:.300} twice")
        if posixpath.dirname(name) not in directories:
            raise ImageError(f"what the scripts have changed has {name!r:.300} in no directory")
        names.add(name)
        if entry.kind == "directory":
            directories.add(name)


class _Hash:
    """What a tree can be written to in order to name it by its content."""

    def __init__(self) -> None:
        self.blake3 = blake3()

    def write(self, data: bytes) -> None:
        self.blake3.update(data)


def _key(tree: Tree, script: str, extra: Tree, enter: Path) -> str:
    """Names what comes of a script by all that it depends on."""
    whole = _Hash()
    whole.write(json.dumps([workshop.fingerprint(enter), script]).encode())
    tree.write_tar(whole)
    extra.write_tar(whole)
    return whole.blake3.hexdigest(16)


def _text(name: str) -> str:
    return (_SCRIPTS / name).read_text("utf-8")


def _script(unpacked: Unpacked, before: list[Package]) -> str:
    """All that is to be run for the packages, in its order."""
    lines = [_text("run.sh"), _text("begin.sh")]
    for group in unpacking.stages(unpacked.packages, before):
        for package in group:
            if package in unpacked.left:
                lines.append(f"dpkg --unpack /dev/branchpoint/{package.name}.deb\n")
            elif "preinst" in package.files:
                architecture = package.fields.get("architecture", "")
                names = f"{package.name} {quote(architecture)} {package.unique_name}"
                lines.append(f"preinst {names}\n")
        lines.append(f"dpkg --configure {' '.join(package.unique_name for package in group)}\n")
    return "".join([*lines, _text("end.sh")])


class Failed(Exception):
    """A script has ended with another code than 0."""

    def __init__(self, outcome: Outcome) -> None:
        self.outcome = outcome

    def error(self, commands: list[str]) -> ImageError:
        """What went wrong, from the last lines that were said."""
        lines = self.outcome.lines
        what = f"the scripts ended with code {self.outcome.code}"
        failed = dict.fromkeys(match[1] for line in lines if (match := _FAILED.match(line)))
        if failed:
            what = f"the scripts of the package {', '.join(failed)} failed"
        for line in lines:
            if match := _ENDED.fullmatch(line):
                kind, name, code = match.groups()
                what = f"the script preinst of the package {name} ended with code {code}"
                if kind == "command" and name.isdigit() and int(name) < len(commands):
                    what = f"the command {commands[int(name)]!r:.{_LONGEST}} ended with code {code}"
        said = "".join(f"\n    {line[:_LONGEST]}" for line in lines[-_SHOWN:])
        return ImageError(f"{what}; the last that was said:{said}" if said else what)
