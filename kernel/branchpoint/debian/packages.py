"""Resolve any list of packages, and download them.

Without another word they are of Debian's release :data:`apt.SUITE`. What a list of packages
resolved to is kept, so that later builds give the same image without network. Lists that the lock
names are in :mod:`branchpoint.debian.lists`.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec

from branchpoint.debian import apt, index
from branchpoint.debian.entry import Deb, Entry
from branchpoint.debian.fetching import Gone, fetch
from branchpoint.decoding import Malformed, from_json
from branchpoint.files import locked, publish


def resolve(
    packages: Iterable[str],
    keep: Callable[[str], bool] = lambda name: True,
    suite: str = apt.SUITE,
) -> list[Deb]:
    """Resolve ``packages`` with their dependencies (no recommendations) and download them.

    ``keep`` says by name which of the resolved packages are wanted; others are not downloaded.
    The result is sorted by name. Raises :class:`SetupError` without apt or network,
    :class:`ImageError` for a package that does not exist.
    """
    wanted = sorted(set(packages))
    with locked("debian"):
        found = in_date(lambda: [e for e in resolution(wanted, suite) if keep(e.name)], suite)
        return found[1]


def exactly(entries: Iterable[Entry]) -> list[Deb]:
    """These packages and no other versions, from the cache or downloaded, in the given order.

    :raises Gone: when no mirror of this computer has some of them.
    :raises SetupError: when they cannot be downloaded for another reason.
    """
    with locked("debian"):
        return fetch(entries)


def fingerprint(packages: Iterable[str], suite: str = apt.SUITE) -> str:
    """A digest (hex) of what ``packages`` resolve to; downloads no package."""
    with locked("debian"):
        entries = resolution(sorted(set(packages)), suite)
    facts = [
        {"name": e.name, "version": e.version, "file": e.file, "sha256": e.sha256,
         "size": str(e.size)}
        for e in entries
    ]  # fmt: skip
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def in_date(
    entries: Callable[[], list[Entry]], suite: str = apt.SUITE
) -> tuple[list[Entry], list[Deb]]:
    """What ``entries`` gives, with the files. If no mirror has them any more, the index is fetched
    anew and ``entries`` asked again.
    """
    found = entries()
    try:
        return found, fetch(found)
    except Gone:
        apt.update(suite)
    found = entries()
    return found, fetch(found)


def kept(path: Path) -> list[Entry] | None:
    """The entries in a file of the cache; None when there are none, or the file is damaged."""
    with contextlib.suppress(OSError, Malformed):
        entries: list[Entry] = from_json(path.read_bytes(), list[Entry])
        return entries
    return None


def keep(path: Path, entries: list[Entry]) -> None:
    """Write a file that :func:`kept` reads."""
    with publish(path) as unfinished:
        unfinished.write_bytes(msgspec.json.format(msgspec.json.encode(entries), indent=1))


def resolution(packages: list[str], suite: str = apt.SUITE) -> list[Entry]:
    """What ``packages`` (sorted) need, as it was resolved first; the caller holds the lock
    ``debian``.
    """
    name = hashlib.sha256("\n".join(packages).encode()).hexdigest()[:32]
    note = apt.home(suite) / "resolutions" / f"{name}.json"
    entries = kept(note)
    if entries is None:  # what is lost or damaged is asked for again
        entries = index.needs(packages, suite)
        keep(note, entries)
    return entries
