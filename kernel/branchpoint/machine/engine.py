"""The emulators on this computer: which QEMU, which plugin, and whether the two fit.

A computer may have a QEMU of its own. Beside it, or instead of it, there is a private one: Debian's
packages, unpacked into the cache and run by their own loader with their own libraries.
"""

from __future__ import annotations

import ctypes
import functools
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from blake3 import blake3

from branchpoint.cache import cache_dir
from branchpoint.debian import hosttools
from branchpoint.errors import SetupError
from branchpoint.files import publish
from branchpoint.machine.elf import dynamic_symbols
from branchpoint.machine.packages import ENGINE

_PROGRAM = "qemu-system-x86_64"
_OLDEST, _TOO_NEW = (10, 0), (11, 0)  # from QEMU 11 on, plugins have another interface
_SERIES = "10.0."
"""Releases that begin so run a machine alike; others do, if at all, by chance."""
_INSTEAD = "leave BRANCHPOINT_QEMU unset: Branchpoint then has its own, from Debian's packages"
_SOURCES = sorted(Path(__file__).with_name("timekeeper").glob("*.[ch]"))
_UNITS = [file for file in _SOURCES if file.suffix == ".c"]
PLUGIN = ["-shared", "-fPIC", "-O2", "-Wall", "-Wextra", "-fvisibility=hidden"]
"""How plugins are compiled."""


@dataclass(frozen=True)
class Engine:
    """A QEMU and a plugin that fit each other."""

    qemu: Path
    version: str
    plugin: Path
    binary_digest: str
    source_digest: str
    """Of the plugin."""
    root: Path | None = None
    """The unpacked packages whose loader and libraries it runs with; None: this computer's."""

    def command(self, root: str = "") -> list[str]:
        """How to start it, without arguments; ``root`` is another path to its packages."""
        return _command(self.qemu, self.root, root)

    @property
    def fingerprint(self) -> str:
        """Both digests, and the version for people."""
        return f"{self.version} {self.binary_digest} {self.source_digest}"


def find() -> Engine:
    """The engine for new recordings: the first of :func:`candidates`.

    :raises SetupError: when there is none; it says why for each.
    """
    return next(candidates())


def candidates(*, fetch: bool = True) -> Iterator[Engine]:
    """The engines of this computer, the best first.

    The private one is unpacked when it is asked for; without ``fetch``, it counts only if it is
    unpacked already. ``BRANCHPOINT_QEMU`` names the only one, if it is set.

    :raises SetupError: instead of the first one, when there is none; it says why for each.
    """
    chosen = os.environ.get("BRANCHPOINT_QEMU")
    if chosen:
        yield _checked(Path(chosen), None)
        return
    problems: list[SetupError] = []

    def tried(look: Callable[[], Engine]) -> Iterator[Engine]:
        try:
            yield look()
        except SetupError as problem:
            problems.append(problem)

    own = list(tried(_own))
    yield from (each for each in own if each.version.startswith(_SERIES))
    yield from tried(functools.partial(private, fetch=fetch))
    yield from (each for each in own if not each.version.startswith(_SERIES))
    if len(problems) == 2:
        raise SetupError(
            "no emulator can be used: " + "; ".join(problem.message for problem in problems),
            "connect this computer to the network once, so that Debian's QEMU can be fetched",
        )


def _own() -> Engine:
    """This computer's own QEMU."""
    found = shutil.which(_PROGRAM)
    if not found:
        raise SetupError(f"{_PROGRAM} is not installed")
    return _checked(Path(found), None)


def private(*, fetch: bool = True) -> Engine:
    """The QEMU of Debian's packages in the cache; without ``fetch``, only if it is there.

    :raises SetupError: when it cannot be had.
    """
    tools = hosttools.unpacked(ENGINE) if fetch else hosttools.known(ENGINE)
    if tools is None:
        raise SetupError("no emulator is unpacked in the cache")
    return _checked(tools.root / "usr/bin" / _PROGRAM, tools.root)


def _checked(qemu: Path, root: Path | None) -> Engine:
    """An engine of this QEMU, compiling the plugin if needed.

    :raises SetupError: when QEMU is too old, does not export a symbol that the plugin needs, or
        no C compiler is there.
    """
    version, digest = _facts(qemu, root)
    return Engine(qemu, version, _plugin(), digest, _source_digest(), root)


@functools.cache
def _facts(qemu: Path, root: Path | None) -> tuple[str, str]:
    """Version and digest of a QEMU that fits the plugin."""
    version = _version(qemu, root)
    _check_symbols(qemu, version, _plugin())
    return version, blake3().update_mmap(qemu).hexdigest(16)


def _command(qemu: Path, root: Path | None, elsewhere: str = "") -> list[str]:
    if root is None:
        return [str(qemu)]
    program = str(qemu.relative_to(root))
    return list(map(str, hosttools.Tools(Path(elsewhere or root)).command(program)))


def _version(qemu: Path, root: Path | None) -> str:
    try:
        command = [*_command(qemu, root), "--version"]
        said = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise SetupError(f"{qemu} cannot be run: {error}", _INSTEAD) from error
    match = re.search(r"version (\d+)\.(\d+)\.(\d+)", said.stdout)
    if not match:
        raise SetupError(f"{qemu} does not say its version: {said.stdout[:80]!r}", _INSTEAD)
    if not _OLDEST <= (int(match[1]), int(match[2])) < _TOO_NEW:
        raise SetupError(f"{qemu} is version {match[0][8:]}; exact replay needs QEMU 10", _INSTEAD)
    return match[0][8:]


def _plugin() -> Path:
    """The compiled plugin, from the cache when the same source was compiled before."""
    return _compile(f"timekeeper-{_source_digest()}.so", _UNITS, PLUGIN)


def compiled(
    name: str, sources: list[Path], options: list[str], headers: list[Path] | None = None
) -> Path:
    """A program for this computer, from the cache when the same source was compiled before.

    ``headers`` are files of ours that the sources include.

    Raises SetupError when no C compiler is there.
    """
    digest = blake3(" ".join(options).encode())
    for file in [*sources, *(headers or [])]:
        digest.update(file.read_bytes())
    return _compile(f"{name}-{digest.hexdigest(16)}", sources, options)


def _compile(name: str, sources: list[Path], options: list[str]) -> Path:
    target = cache_dir() / "engine" / name
    if target.exists():
        return target
    compiler = shutil.which("cc") or shutil.which("gcc")
    if not compiler:
        raise SetupError("no C compiler found to build what drives the emulator", "install gcc")
    with publish(target) as made:
        done = subprocess.run(
            [compiler, *options, "-o", made, *sources], capture_output=True, text=True
        )
        if done.returncode:
            raise SetupError(f"{name} does not compile:\n{done.stderr[-2000:]}")
    return target


@functools.cache
def _source_digest() -> str:
    digest = blake3(" ".join(PLUGIN).encode())
    for file in _SOURCES:
        digest.update(f"\n{file.name} {file.stat().st_size}\n".encode() + file.read_bytes())
    return digest.hexdigest(16)


def _check_symbols(qemu: Path, version: str, plugin: Path) -> None:
    offered, borrowed = dynamic_symbols(qemu)  # what QEMU borrows is there for the plugin too
    _, needed = dynamic_symbols(plugin)
    libc = ctypes.CDLL(None)
    missing = sorted(
        name
        for name in needed - offered - borrowed
        if not hasattr(libc, name) and not name.startswith(("_ITM_", "__gmon", "__cxa"))
    )
    if missing:
        raise SetupError(
            f"{qemu} ({version}) does not export {', '.join(missing)}",
            _INSTEAD,
        )
