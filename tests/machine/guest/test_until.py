"""Recording until something fails, also when it fails at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import branchpoint as bp

SYSTEM = """
name: hasty
x-branchpoint-debian:
  packages: [busybox-static]
services:
  hasty:
    command: [busybox, sh, -c, "busybox usleep {microseconds}; exit 7"]
    restart: "no"
  steady:
    command: [busybox, sleep, infinity]
    {more}
"""
CHECKED = 'healthcheck: {test: [CMD, busybox, "true"], interval: 500ms}'


def recorded(folder: Path, microseconds: int, more: str, until: Any) -> bp.Recording:
    compose = folder / "compose.yaml"
    compose.write_text(SYSTEM.format(microseconds=microseconds, more=more))
    return bp.record(compose, folder / "hasty.branchpoint", seed=1, duration=3, until=until)


@pytest.mark.parametrize("microseconds", [15_000, 45_000])
def test_what_fails_right_after_set_up_ends_the_recording(
    tmp_path: Path, microseconds: int
) -> None:
    with recorded(tmp_path, microseconds, "", "exit:*") as run:
        exit_ = run.moments("exit")[0]
        assert exit_.vtime > 0, "this test is about what comes after set-up"
        assert run.failure == exit_
        assert run.manifest.ended == "exit of *"
        assert run.duration < 2.5, "it ends 2 s after the failure"
        (event,) = run.events.where(start=run.failure, end=run.failure, type="container.exit")
        assert event.fields["code"] == "7"


@pytest.mark.long
def test_checkpoints_lie_closest_before_the_failure(tmp_path: Path) -> None:
    """The last stretches before it are cut into four, and all of it replays as recorded."""
    with recorded(tmp_path, 2_000_000, "", "exit:*") as run:
        failure = run.failure.at
        lengths = np.diff([*(at for at in run.files.checkpoints if at < failure), failure])
        stretches = lengths[-20:].reshape(-1, 4)
        assert len(stretches) and (np.ptp(stretches, axis=1) < 4_000).all(), "equal, to 1 us"
        assert bp.verify(run)


def test_what_failed_during_set_up_is_named_when_nothing_failed_later(tmp_path: Path) -> None:
    """A job that ends while others still start is no failure; whoever waits for its end is told."""
    with recorded(tmp_path, 0, CHECKED, "exit:*") as run:
        exit_ = run.moments("exit")[0]
        assert exit_.vtime < 0, "this test is about what comes before set-up is complete"
        with pytest.raises(bp.BranchpointError, match="came earlier, during set-up, at -0"):
            run.failure  # noqa: B018
