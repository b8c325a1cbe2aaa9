"""Resolve lists of packages, and download them.

The guest is always Debian's release :data:`apt.SUITE`, whatever the host runs. What a list of
packages resolved to is kept, so that later builds give the same image without network;
:func:`refresh` ends that.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import urllib.parse
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, TypedDict

from msgspec import Meta

from branchpoint import progress
from branchpoint.cache import disk_errors
from branchpoint.debian import apt
from branchpoint.decoding import Malformed, from_json
from branchpoint.errors import ImageError, SetupError
from branchpoint.files import locked, publish

_URI_LINE = re.compile(
    r"'(?P<uri>\S+)' (?P<file>\S+) (?P<size>\d+) SHA256:(?P<sha256>[0-9a-f]{64})"
)
_NAME = re.compile(r"[a-z0-9][a-z0-9.+-]*[a-z0-9.+]")


@dataclass(frozen=True)
class Deb:
    """One downloaded package file; ``sha256`` (hex) is the one the signed index names."""

    name: str
    version: str
    sha256: str
    path: Path


class _Entry(TypedDict):
    """What is kept of one package that is needed."""

    name: str
    version: str
    file: str
    """Its name."""
    sha256: str
    size: Annotated[str, Meta(pattern=r"^[0-9]{1,15}\Z")]
    """Bytes."""


def resolve(packages: Iterable[str], keep: Callable[[str], bool] = lambda name: True) -> list[Deb]:
    """Resolve ``packages`` with their dependencies (no recommendations) and download them.

    ``keep`` says by name which of the resolved packages are wanted; others are not downloaded.
    The result is sorted by name. Raises :class:`SetupError` without apt or network,
    :class:`ImageError` for a package that does not exist.
    """
    wanted = sorted(set(packages))
    with locked("debian"):
        for attempt in (1, 2):
            resolution = _resolution(wanted)
            try:
                return _download([entry for entry in resolution if keep(entry["name"])])
            except _Superseded:
                if attempt == 2:
                    raise
                apt.update()
    raise AssertionError("unreachable")


def fingerprint(packages: Iterable[str]) -> str:
    """A digest (hex) of what ``packages`` resolve to; downloads no package."""
    with locked("debian"):
        return hashlib.sha256(json.dumps(_resolution(sorted(set(packages)))).encode()).hexdigest()


def refresh() -> None:
    """Fetch the package index anew: the next build takes the packages that Debian has now."""
    with locked("debian"):
        apt.update()


class _Superseded(SetupError):
    """The mirror does not have a package any more that the kept index names."""


def _resolution(packages: list[str]) -> list[_Entry]:
    """What ``packages`` need."""
    for name in packages:
        # Lists of packages can come from strangers; apt would also take options, paths, patterns.
        if not _NAME.fullmatch(name):
            raise ImageError(f"{name!r} is not the name of a Debian package")
    home = apt.home()
    key = hashlib.sha256("\n".join(packages).encode()).hexdigest()[:32]
    kept = home / "resolved" / f"{key}.json"
    with contextlib.suppress(OSError, Malformed):  # what is lost or damaged is asked for again
        return from_json(kept.read_bytes(), list[_Entry])
    if not (home / "state" / "complete").exists():
        apt.update()
    result = apt.run(
        "apt-get", "install", "--yes", "--print-uris",
        "-o", "Acquire::ForceHash=SHA256", "--", *packages,
    )  # fmt: skip
    if result.returncode:
        raise ImageError(
            f"Debian {apt.SUITE} cannot give {', '.join(packages)}: {apt.complaint(result)}",
            "check the package names",
        )
    entries: list[_Entry] = []
    for match in _URI_LINE.finditer(result.stdout):
        file = match["file"]
        name, version, _ = urllib.parse.unquote(file).removesuffix(".deb").split("_")
        entries.append(
            {"name": name, "version": version, "file": file, "sha256": match["sha256"],
             "size": match["size"]}
        )  # fmt: skip
    entries.sort(key=lambda entry: entry["name"])
    with publish(kept) as path:
        path.write_text(json.dumps(entries, indent=1))
    return entries


def _download(entries: list[_Entry]) -> list[Deb]:
    home = apt.home()
    debs = [
        Deb(entry["name"], entry["version"], entry["sha256"], home / "debs" / entry["file"])
        for entry in entries
    ]
    missing = [
        (deb, int(entry["size"]))
        for deb, entry in zip(debs, entries, strict=True)
        if not deb.path.exists()
    ]
    if not missing:
        return debs
    folder = home / "cache" / "archives"
    total = sum(size for _, size in missing)
    if not (home / "state" / "complete").exists():
        apt.update()
    with progress.task("Debian packages", total / 1e6, "MB") as task, disk_errors(folder):
        result = apt.run(
            *("apt-get", "download", *(f"{deb.name}={deb.version}" for deb, _ in missing)),
            cwd=folder,
            tick=lambda: task.update(sum(_size(file) for file in folder.rglob("*")) / 1e6),
        )
        for deb, _ in missing:
            file = folder / deb.path.name
            if result.returncode or not file.exists():
                break
            if hashlib.sha256(file.read_bytes()).hexdigest() != deb.sha256:
                file.unlink()
                raise _Superseded(f"{file.name} is not the file that the package index names")
            file.replace(deb.path)
        else:
            return debs
    raise _Superseded(f"cannot download Debian packages: {apt.complaint(result)}", apt.hint(result))


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except FileNotFoundError:  # apt renames what it has finished
        return 0
