"""What tests of the machine and of the browser share, and the order of the test files."""

from __future__ import annotations

import fcntl
import itertools
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

import branchpoint as bp

settings.register_profile("any computer", deadline=None)  # no test depends on speed
settings.load_profile("any computer")

ARIA = Path(__file__).parents[1] / "notebooks" / "systems" / "aria" / "compose.yaml"

LIKELY_SEEDS = (5,)
"""Seeds with which Aria failed earlier; which seeds fail depends on the packages in its image."""
SEEDS = 100  # seeds to try before giving up
STORY = 2  # least seconds between the kill and the crash, so that there is something to look at


LONGEST = (
    "test_notebook.py",
    "test_bugs.py",
    "test_redis.py",
    "test_known_systems.py",
    "test_packaged_servers.py",
    "test_code_contrasts.py",
    "test_exploring.py",
    "test_healing.py",
    "test_determinism.py",
    "test_faults.py",
    "test_triage.py",
    "test_sharing.py",
    "test_interventions.py",
    "test_names.py",
    "test_views_in_lab.py",
    "test_arm64.py",
    "test_curve_harm.py",
    "test_manual.py",
    "test_lost_flags.py",
    "test_probes.py",
    "test_sdk.py",
    "test_terminal_page.py",
)
"""Files that take more than a minute: they start first, so that at the end no process waits long
for another."""


def pytest_configure() -> None:
    """Make Ctrl-C interrupt even if a shell has started the tests in the background."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    places = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path.name, len(places)))


@pytest.fixture(scope="session")
def made_once(
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[[str, Callable[[Path], None]], Path]:
    """This process's own copy of a recording that is made once for all test processes."""
    ours = tmp_path_factory.getbasetemp()
    everybodys = ours.parent if "PYTEST_XDIST_WORKER" in os.environ else ours

    def path_of(name: str, make: Callable[[Path], None]) -> Path:
        made = everybodys / f"made-{name}.branchpoint"
        with made.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not made.exists():
                unfinished = made.with_name(f"making-{made.name}")
                shutil.rmtree(unfinished, ignore_errors=True)
                make(unfinished)
                unfinished.rename(made)
        return Path(shutil.copytree(made, tmp_path_factory.mktemp(name) / f"{name}.branchpoint"))

    return path_of


@pytest.fixture(scope="session")
def failing_aria(made_once: Callable[[str, Callable[[Path], None]], Path]) -> Path:
    """The path of a recording of the demo system in which its bug occurs: a crashed replicator."""
    return made_once("failing-aria", _record_failing_aria)


def _record_failing_aria(path: Path) -> None:
    for seed in itertools.islice(itertools.chain(LIKELY_SEEDS, itertools.count(1)), SEEDS):
        with bp.record(ARIA, path, seed=seed, duration=60, until="exit:*") as run:
            exits = run.events.where(type="container.exit")
            if len(exits) == 2 and exits[1].vtime - exits[0].vtime > STORY:
                return
        shutil.rmtree(path)
    pytest.fail(f"Aria failed with none of {SEEDS} seeds")
