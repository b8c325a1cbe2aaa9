"""The boot snapshot: a guest that has said all that it has to say before its system starts."""

from __future__ import annotations

from pathlib import Path

import pytest

from branchpoint.guest import image
from branchpoint.guest.mailbox import Mailbox
from branchpoint.guest.snapshot import ensure_snapshot
from branchpoint.machine.computer import Computer
from branchpoint.machine.pages import PagePool
from branchpoint.machine.spec import Hardware
from branchpoint.system import build

TINY = """
services:
  a: {command: [busybox, "true"], x-branchpoint-debian: {packages: [busybox-static]}}
"""


@pytest.mark.parametrize("ram", [256, 512])
def test_nothing_is_said_until_the_system_starts(tmp_path: Path, ram: int) -> None:
    """Else a replay from it would hear what its recording never heard."""
    (tmp_path / "compose.yaml").write_text(TINY)
    system = build(tmp_path)
    booted = ensure_snapshot(image.ensure_image(), system.path, Hardware(ram << 20))
    pool = PagePool(booted.hashes)
    with Computer(booted.spec, template=booted.template, pool=pool) as computer:
        computer.restore(booted.state)
        mailbox = Mailbox(computer)
        mailbox.skip()
        computer.run_to(booted.state.at + 100_000_000)
        assert mailbox.ready and mailbox.drain() == []
