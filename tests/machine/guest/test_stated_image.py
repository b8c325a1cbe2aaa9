"""The guest image of the locked packages is the one that this release states."""

from __future__ import annotations

import pytest

from branchpoint.debian import lock
from branchpoint.guest import image, release


def test_locked_packages_give_the_stated_image() -> None:
    digest = image.built().digest
    different = release.moved()
    if different:
        pytest.skip(
            f"this computer has another machine, guest image {digest}: "
            f"{'; '.join(map(str, different))}"
        )
    stated = lock.read().guest
    assert digest == stated, (
        f"the guest image is {digest}, and the lock states {stated}: the agent, or what builds the "
        "image, has changed. If that is meant, run: make image-lock"
    )
