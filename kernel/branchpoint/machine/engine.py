"""The emulator on this computer: which QEMU, which plugin, and whether the two fit."""

from __future__ import annotations

import ctypes
import functools
import os
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from blake3 import blake3

from branchpoint.cache import cache_dir
from branchpoint.errors import SetupError
from branchpoint.machine.elf import dynamic_symbols

_PROGRAM = "qemu-system-x86_64"
_OLDEST = (10, 0)
_SOURCES = sorted(Path(__file__).with_name("timekeeper").glob("*.[ch]"))
_UNITS = [file for file in _SOURCES if file.suffix == ".c"]
_COMPILE = ["-shared", "-fPIC", "-O2", "-Wall", "-Wextra", "-fvisibility=hidden"]


@dataclass(frozen=True)
class Engine:
    """A QEMU and a plugin that fit each other."""

    qemu: Path
    version: str
    plugin: Path
    binary_digest: str
    source_digest: str
    """Of the plugin. Runs are only promised to be equal where both digests are."""

    @property
    def fingerprint(self) -> str:
        """Both digests, and the version for people."""
        return f"{self.version} {self.binary_digest} {self.source_digest}"


@functools.cache
def find() -> Engine:
    """The engine of this computer, compiling the plugin if needed.

    Raises SetupError when QEMU is missing or too old, does not export a symbol that the plugin
    needs, or no C compiler is there.
    """
    found = os.environ.get("BRANCHPOINT_QEMU") or shutil.which(_PROGRAM)
    if not found:
        raise SetupError(
            f"{_PROGRAM} is not installed",
            "run `make setup` in the checkout, or install qemu-system-x86 10.0 or newer",
        )
    qemu = Path(found)
    version = _version(qemu)
    plugin = _plugin()
    _check_symbols(qemu, version, plugin)
    return Engine(
        qemu,
        version,
        plugin,
        blake3().update_mmap(qemu).hexdigest(16),
        _source_digest(),
    )


def _version(qemu: Path) -> str:
    try:
        said = subprocess.run([qemu, "--version"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise SetupError(f"{qemu} cannot be run: {error}", "install QEMU 10.0 or newer") from error
    match = re.search(r"version (\d+)\.(\d+)\.(\d+)", said.stdout)
    if not match:
        raise SetupError(f"{qemu} does not say its version: {said.stdout[:80]!r}")
    if (int(match[1]), int(match[2])) < _OLDEST:
        raise SetupError(
            f"{qemu} is version {match[0][8:]}; exact replay needs 10.0 or newer",
            "run `make setup`, which takes it from the distribution's backports",
        )
    return match[0][8:]


def _plugin() -> Path:
    """The compiled plugin, from the cache when the same source was compiled before."""
    return _compile(f"timekeeper-{_source_digest()}.so", _UNITS, _COMPILE)


def compiled(name: str, sources: list[Path], options: list[str]) -> Path:
    """A program for this computer, from the cache when the same source was compiled before.

    Raises SetupError when no C compiler is there.
    """
    digest = blake3(" ".join(options).encode())
    for file in sources:
        digest.update(file.read_bytes())
    return _compile(f"{name}-{digest.hexdigest(16)}", sources, options)


def _compile(name: str, sources: list[Path], options: list[str]) -> Path:
    target = cache_dir() / "engine" / name
    if target.exists():
        return target
    compiler = shutil.which("cc") or shutil.which("gcc")
    if not compiler:
        raise SetupError("no C compiler found to build what drives the emulator", "install gcc")
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        output = Path(folder) / "made"
        done = subprocess.run(
            [compiler, *options, "-o", output, *sources], capture_output=True, text=True
        )
        if done.returncode:
            raise SetupError(f"{name} does not compile:\n{done.stderr[-2000:]}")
        output.replace(target)
    return target


def _source_digest() -> str:
    digest = blake3(" ".join(_COMPILE).encode())
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
            "use the distribution's own qemu-system-x86 (10.0 or newer), not a stripped build",
        )
