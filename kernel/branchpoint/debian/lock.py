"""The lock: which versions of Debian's packages make the machine that this release states.

It is the file ``lock.json`` beside this one. It names no host: the paths are those of every mirror.
"""

from __future__ import annotations

import json
from pathlib import Path

import msgspec

from branchpoint.debian import apt
from branchpoint.debian.entry import Entry, PackageList
from branchpoint.decoding import Malformed, from_json
from branchpoint.errors import SetupError

PATH = Path(__file__).with_name("lock.json")
_SHORT = ("suite", "architecture", "guest")


class Listed(msgspec.Struct):
    """What one list of packages needs."""

    asked: list[str]
    needs: list[str]
    """Names in ``packages``."""
    without: list[str]
    """Dependencies that are of no use here, and are left out."""


class Lock(msgspec.Struct):
    """The content of the lock."""

    suite: str
    architecture: str
    guest: str = ""
    """The digest of the guest image that is made of these packages, see :mod:`guest.image`."""
    lists: dict[str, Listed] = {}
    packages: list[Entry] = []

    def entries(self, wanted: PackageList) -> list[Entry] | None:
        """What the list needs; None when the lock does not name it, or was made for another one."""
        listed = self.lists.get(wanted.name)
        if (
            listed is None
            or (self.suite, self.architecture) != (apt.SUITE, apt.ARCHITECTURE)
            or listed.asked != sorted(wanted.packages)
            or not all(map(wanted.keep, listed.needs))
            or any(map(wanted.keep, listed.without))
        ):
            return None
        known = {entry.name: entry for entry in self.packages}
        return [known[name] for name in listed.needs]


def read() -> Lock:
    """The lock of this installation.

    :raises SetupError: when it is damaged or missing.
    """
    try:
        lock: Lock = from_json(PATH.read_bytes(), Lock)
        known = {entry.name for entry in lock.packages}
        if not all(known.issuperset(listed.needs) for listed in lock.lists.values()):
            raise Malformed("a list needs a package that is not described")
    except (OSError, Malformed) as error:
        raise SetupError(
            f"the lock of Debian's packages is damaged: {PATH}: {error}",
            "install Branchpoint anew; in a checkout, restore that file",
        ) from error
    return lock


def write(lock: Lock) -> None:
    """Write the lock, a line for each package, so that people can read its history."""
    facts = msgspec.to_builtins(lock)
    lines = [f" {json.dumps(key)}: {json.dumps(facts[key])}" for key in _SHORT]
    lines.append(f' "lists": {{\n{_lines(facts["lists"])}\n }}')
    packages = ",\n".join(f"  {json.dumps(package)}" for package in facts["packages"])
    lines.append(f' "packages": [\n{packages}\n ]')
    text = "{\n" + ",\n".join(lines) + "\n}\n"
    unfinished = PATH.with_name(f".{PATH.name}.new")
    unfinished.write_text(text)
    unfinished.replace(PATH)


def _lines(lists: dict[str, dict[str, list[str]]]) -> str:
    return ",\n".join(
        f"  {json.dumps(name)}: {{\n"
        + ",\n".join(f"   {json.dumps(key)}: {json.dumps(names)}" for key, names in listed.items())
        + "\n  }"
        for name, listed in lists.items()
    )
