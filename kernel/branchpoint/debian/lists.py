"""The lists of packages that make the machine, as the lock pins them.

What a list consists of on this computer is decided once, and kept: the packages of the lock if they
can be had, else those that Debian has now. :func:`refresh` decides anew, :func:`keep_to_lock`
returns to the lock.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from branchpoint import showing
from branchpoint.debian import apt, index, lock
from branchpoint.debian.entry import Deb, Entry, PackageList
from branchpoint.debian.fetching import Gone, fetch
from branchpoint.debian.lock import Listed, Lock
from branchpoint.debian.packages import in_date, keep, kept, resolution
from branchpoint.errors import SetupError
from branchpoint.files import locked


@dataclass(frozen=True)
class Change:
    """A package whose version is another one now; None where there is none."""

    name: str
    old: str | None
    new: str | None

    def __str__(self) -> str:
        if self.new is None:
            return f"{self.name} {self.old} is not used any more"
        if self.old is None:
            return f"{self.name} {self.new} is new"
        return f"{self.name} {self.old} is now {self.new}"


def take(wanted: PackageList) -> list[Deb]:
    """The packages of a list, from the cache or downloaded, sorted by name.

    Those of the lock if they can be had. If not, those that Debian has now, and it says which
    packages differ. A list that the lock does not name is resolved like any other.

    :raises SetupError: when they cannot be downloaded.
    """
    with locked("debian"):
        return _decide(wanted)[1]


def fingerprint(wanted: PackageList) -> str:
    """A digest (hex) of the packages of a list. They are downloaded if it was not decided yet
    which ones are taken; :func:`take` says what is raised.
    """
    with locked("debian"):
        return _digest(_decided(wanted) or _decide(wanted)[0])


def expected(wanted: PackageList) -> str:
    """The same, but while it is undecided, that of the packages of the lock; of a list that it
    does not name, it resolves what is not resolved yet. Nothing else is downloaded.
    """
    with locked("debian"):
        return _digest(_decided(wanted) or lock.read().entries(wanted) or [])


def _digest(entries: list[Entry]) -> str:
    return hashlib.sha256(msgspec.json.encode(entries)).hexdigest()


def moved(lists: Iterable[PackageList]) -> list[Change]:
    """How the packages of this computer differ from those of the lock; none while undecided."""
    stated = lock.read()
    with locked("debian"):
        pairs = [
            (pinned, chosen)
            for wanted in lists
            if (pinned := stated.entries(wanted)) is not None
            and (chosen := _decided(wanted)) is not None
        ]
    return changes(pairs)


def refresh(lists: Iterable[PackageList]) -> list[Change]:
    """Fetch the index anew and take the packages that Debian has now, whatever the lock says.

    Returns what that changes. Nothing is downloaded yet, and after an error nothing has changed.

    :raises SetupError: without network.
    """
    stated = lock.read()
    wanted = list(lists)
    with locked("debian"):
        before = [_decided(each) or stated.entries(each) or [] for each in wanted]
        apt.update()
        after = [_kept_of(each, index.needs(sorted(each.packages))) for each in wanted]
        for each, entries in zip(wanted, after, strict=True):
            if (note := _note(each)) is not None:
                keep(note, entries)
    return changes(zip(before, after, strict=True))


def keep_to_lock(lists: Iterable[PackageList]) -> None:
    """Take the packages of the lock again, if they can be had."""
    with locked("debian"):
        for note in filter(None, map(_note, lists)):
            note.unlink(missing_ok=True)


def pin(lists: Iterable[PackageList], guest: str) -> Lock:
    """A lock with the packages of these lists as they are now on this computer, and this ``guest``.

    :raises SetupError: when the lists were decided with another index than the one in the cache.
    """
    listed: dict[str, Listed] = {}
    packages: dict[str, Entry] = {}
    with locked("debian"):
        for wanted in lists:
            needed = index.needs(sorted(wanted.packages))
            entries = _kept_of(wanted, needed)
            if entries != _decided(wanted):
                raise SetupError(
                    f"Debian's packages have changed meanwhile (list {wanted.name})", "run it again"
                )
            packages |= {entry.name: entry for entry in entries}
            listed[wanted.name] = Listed(
                asked=sorted(wanted.packages),
                needs=[entry.name for entry in entries],
                without=[entry.name for entry in needed if not wanted.keep(entry.name)],
            )
    return Lock(
        suite=apt.SUITE,
        architecture=apt.ARCHITECTURE,
        guest=guest,
        lists=dict(sorted(listed.items())),
        packages=[entry for _, entry in sorted(packages.items())],
    )


def _decide(wanted: PackageList) -> tuple[list[Entry], list[Deb]]:
    """The packages of a list and their files; which ones is decided now, if it was not before."""
    note = _note(wanted)
    if note is None:
        return in_date(lambda: _kept_of(wanted, resolution(sorted(wanted.packages))))
    chosen = kept(note)
    pinned = lock.read().entries(wanted) or []
    entries = pinned if chosen is None else chosen
    try:
        debs = fetch(entries, check=chosen is None)
    except Gone:
        entries, debs = in_date(lambda: _kept_of(wanted, index.needs(sorted(wanted.packages))))
        _say(changes([(pinned, entries)]))
    if entries != chosen:
        keep(note, entries)
    return entries, debs


def _decided(wanted: PackageList) -> list[Entry] | None:
    note = _note(wanted)
    if note is None:
        return _kept_of(wanted, resolution(sorted(wanted.packages)))
    return kept(note)


def _note(wanted: PackageList) -> Path | None:
    """The file that says what was decided for a list under this lock, if the lock names it."""
    pinned = lock.read().entries(wanted)
    if pinned is None:
        return None
    digest = hashlib.sha256(msgspec.json.encode(pinned)).hexdigest()[:16]
    return apt.home() / "choices" / f"{wanted.name}-{digest}.json"


def _kept_of(wanted: PackageList, needed: list[Entry]) -> list[Entry]:
    return [entry for entry in needed if wanted.keep(entry.name)]


def changes(pairs: Iterable[tuple[list[Entry], list[Entry]]]) -> list[Change]:
    """What is different between the (old, new) of these pairs, sorted by name."""
    found = set()
    for before, after in pairs:
        old = {entry.name: entry.version for entry in before}
        new = {entry.name: entry.version for entry in after}
        for name in old.keys() | new.keys():
            if old.get(name) != new.get(name):
                found.add(Change(name, old.get(name), new.get(name)))
    return sorted(found, key=lambda change: change.name)


def _say(found: list[Change]) -> None:
    showing.say(
        "Debian has moved on from the packages of this release, so this computer's machine is "
        f"another one: {'; '.join(map(str, found))}"
    )
