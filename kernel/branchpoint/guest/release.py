"""The machine that this release states: its packages, and the guest image that they give.

Both are in the lock, :mod:`branchpoint.debian.lock`. On a computer that can get these packages the
guest image has the stated digest; elsewhere, it is another one, which :func:`moved` explains.
"""

from __future__ import annotations

import msgspec

from branchpoint.debian import lists, lock
from branchpoint.debian.lists import Change
from branchpoint.errors import SetupError
from branchpoint.guest import image
from branchpoint.machine.packages import ENGINE

MACHINE = (*image.PACKAGES, ENGINE)
"""All lists that the lock names."""


def moved() -> list[Change]:
    """How the packages of this computer's guest image differ from those of the lock."""
    return lists.moved(image.PACKAGES)


def update() -> list[Change]:
    """Fetch the package index anew: the next image is made of the packages that Debian has now.

    Returns what changes. :func:`restore` undoes it. Raises :class:`SetupError` without network.
    """
    return lists.refresh(MACHINE)


def restore() -> None:
    """Make the next image of the packages of the lock again, if they can be had."""
    lists.keep_to_lock(MACHINE)


def relock() -> list[Change]:
    """Write a lock with the packages that Debian has now, and the image that they give.

    For maintainers: it changes a file of this program. Returns what is different. Raises
    :class:`SetupError` without network, and what :func:`image.ensure_image` raises.
    """
    before = lock.read()
    lists.refresh(MACHINE)
    digest = image.built().digest
    lists.take(ENGINE)
    after = lists.pin(MACHINE, digest)
    lock.write(after)
    return lists.changes([(before.packages, after.packages)])


def restate() -> str:
    """Write the digest (hex) of the image that the locked packages give now into the lock.

    For maintainers, after a change of what builds the image or of the agent in it. Raises
    :class:`SetupError` where the packages of the lock are not used.
    """
    digest = image.built().digest
    different = moved()
    if different:
        raise SetupError(
            "the guest image here is not made of the packages of the lock: "
            f"{'; '.join(map(str, different))}",
            "to lock the packages that Debian has now, run: make lock",
        )
    lock.write(msgspec.structs.replace(lock.read(), guest=digest))
    return digest
