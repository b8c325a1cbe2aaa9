"""The lock fits the program: it names what the machine is made of, and nothing else."""

from __future__ import annotations

import msgspec
import pytest

from branchpoint.debian import lock
from branchpoint.debian.entry import Entry, PackageList
from branchpoint.decoding import from_json
from branchpoint.guest import release
from branchpoint.machine.packages import FIRMWARE


@pytest.mark.parametrize("wanted", release.MACHINE, ids=lambda wanted: wanted.name)
def test_every_list_of_the_machine_is_locked(wanted: PackageList) -> None:
    entries = lock.read().entries(wanted)
    assert entries, f"the list {wanted.name} has changed since it was locked; run: make lock"


def test_exact_packages_are_named_as_debian_names_them() -> None:
    assert from_json(msgspec.json.encode(FIRMWARE), tuple[Entry, ...]) == FIRMWARE


def test_nothing_else_is_in_the_lock() -> None:
    found = lock.read()
    assert list(found.lists) == sorted(wanted.name for wanted in release.MACHINE)
    needed = {name for listed in found.lists.values() for name in listed.needs}
    assert [entry.name for entry in found.packages] == sorted(needed)
    assert len(bytes.fromhex(found.guest)) == 16
