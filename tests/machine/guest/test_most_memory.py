"""A machine with as much memory as is allowed."""

from __future__ import annotations

from pathlib import Path

import pytest
from places import IDLE

import branchpoint as bp
from branchpoint import bash
from branchpoint.system.compose.declared import MOST_RAM

pytestmark = pytest.mark.long


@pytest.mark.slow
def test_it_records_and_replays_what_lies_at_its_end(tmp_path: Path) -> None:
    system = tmp_path / "compose.yaml"
    most = f"x-branchpoint: {{ram: {MOST_RAM >> 30}g}}\n"
    system.write_text(most + IDLE.read_text())
    with bp.record(system, tmp_path / "most.branchpoint", seed=1, duration=1) as run:
        assert run.manifest.machine.ram == MOST_RAM
        branch = run.at(0.5).branch()
        total = bash("cat /proc/meminfo").run(branch).output.split()[1]
        assert int(total) * 1024 > 0.9 * MOST_RAM
        bash("head -c 64m /dev/urandom > /dev/shm/x; cksum /dev/shm/x").run(branch)
        assert branch.check()
