"""The recording that tests of the machine and of the browser share."""

from __future__ import annotations

import itertools
import shutil
from pathlib import Path

import pytest

import branchpoint as bp

ARIA = Path(__file__).parents[1] / "notebooks" / "systems" / "aria" / "compose.yaml"

LIKELY_SEEDS = (5,)
"""Seeds with which Aria failed before; which ones do depends on the packages in its image."""
SEEDS = 100  # that are tried before giving up
STORY = 2  # seconds that must lie between the kill and the crash, to have something to look at


@pytest.fixture(scope="session")
def failing_aria(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The path of a recording of the demo system in which its bug shows: the replicator crashes."""
    folder = tmp_path_factory.mktemp("recordings")
    for seed in itertools.islice(itertools.chain(LIKELY_SEEDS, itertools.count(1)), SEEDS):
        path = folder / f"aria-{seed}.branchpoint"
        with bp.record(ARIA, path, seed=seed, duration=60, until="exit:*") as run:
            exits = run.events.where(type="container.exit")
            if len(exits) == 2 and exits[1].vtime - exits[0].vtime > STORY:
                return path
        shutil.rmtree(path)
    pytest.fail(f"Aria failed with none of {SEEDS} seeds")
