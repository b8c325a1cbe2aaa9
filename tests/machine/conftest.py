"""Recordings made on the real machine, once for all tests here.

``small``, ``idle``, ``aria`` and (for other folders too, in tests/conftest.py) ``failing_aria``
are shared. A test may branch off them and look at them, which changes nothing, but must not close
them. A test that damages a recording works on a copy (``copy_of``).
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from computers import cluster_of
from dask import config
from distributed import LocalCluster
from places import ARIA, FAULTY, IDLE, SMALL

import branchpoint as bp

SELF_CHECK = os.environ.get("BRANCHPOINT_TEST_SELF_CHECK", "1/20")
"""The share of all branches in these tests that are run twice and compared."""


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "slow: takes more than some ten seconds")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Recording Aria takes long, so all tests that need it count as slow."""
    for item in items:
        if {"aria", "aria_path", "failing_aria"} & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session", autouse=True)
def some_branches_are_run_twice() -> Iterator[None]:
    """Whatever a test does, a sample of its branches is run again from another state."""
    bp.self_check(SELF_CHECK, seed=1)
    yield
    bp.self_check(0)


MadeOnce = Callable[[str, Callable[[Path], None]], Path]


@pytest.fixture(scope="session")
def small_path(made_once: MadeOnce) -> Path:
    """A recording of tests/machine/systems/small: 5 virtual seconds."""
    return made_once("small", _record_small)


def _record_small(path: Path) -> None:
    bp.record(SMALL, path, seed=1, duration=5).close()


@pytest.fixture
def unvisited(made_once: MadeOnce) -> Path:
    """The same, in a copy that no other test has opened: where somebody was there are checkpoints
    that the recording did not have when it was made.
    """
    return made_once("small", _record_small)


@pytest.fixture(scope="session")
def small(small_path: Path) -> Iterator[bp.Recording]:
    with bp.open(small_path) as run:
        yield run


@pytest.fixture(scope="session")
def faulty_path(made_once: MadeOnce) -> Path:
    """A recording of tests/machine/systems/faulty: 3 virtual seconds."""
    return made_once("faulty", lambda path: bp.record(FAULTY, path, seed=1, duration=3).close())


@pytest.fixture(scope="session")
def idle(made_once: MadeOnce) -> Iterator[bp.Recording]:
    """A recording of tests/machine/systems/idle: 2 virtual seconds."""
    path = made_once("idle", lambda path: bp.record(IDLE, path, seed=1, duration=2).close())
    with bp.open(path) as run:
        yield run


@pytest.fixture(scope="session")
def aria_path(made_once: MadeOnce) -> Path:
    """A recording of the demo system: 30 virtual seconds."""
    return made_once("aria", lambda path: bp.record(ARIA, path, seed=1, duration=30).close())


@pytest.fixture(scope="session")
def aria(aria_path: Path) -> Iterator[bp.Recording]:
    with bp.open(aria_path) as run:
        yield run


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    """Two dask workers with a cache of their own, which has no images of systems."""
    with (
        config.set({"distributed.comm.timeouts.connect": "120s"}),
        cluster_of(2, tmp_path_factory.mktemp("cluster")) as cluster,
    ):
        yield cluster


@pytest.fixture
def copy_of(tmp_path: Path) -> Callable[[Path], Path]:
    """Copies a recording for a test that changes or damages it."""

    def copy(path: Path) -> Path:
        return Path(shutil.copytree(path, tmp_path / path.name))

    return copy
