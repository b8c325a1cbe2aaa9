"""Set-up: what it waits for, when it is in vain, and what then becomes of the recording."""

from __future__ import annotations

from pathlib import Path

import pytest
from recordings import SECOND, head, make

from branchpoint.errors import RecordingError
from branchpoint.events.event import Event
from branchpoint.system import load
from branchpoint.timeline.directory import RecordingFiles
from branchpoint.timeline.recorder.place import Place, SetUpFailed
from branchpoint.timeline.recorder.setting_up import MOST_EXITS, SettingUp

COMPOSE = """
name: shop
services:
  db: {image: db, healthcheck: {test: [CMD, "true"]}}
  migrate: {image: db}
  idle: {image: db}
  api:
    image: api
    healthcheck: {test: [CMD, "true"]}
    depends_on: {migrate: {condition: service_completed_successfully}}
"""


@pytest.fixture
def watch(tmp_path: Path) -> SettingUp:
    file = tmp_path / "compose.yaml"
    file.write_text(COMPOSE)
    return SettingUp(load(file).containers)


def event(container: str, what: str, **fields: str) -> Event:
    return Event(
        at=0, source="life", container=container, type=f"container.{what}", fields=fields
    )  # fmt: skip


def crash(container: str, times: int, code: int = 1) -> list[Event]:
    end = event(container, "exit", code=str(code), signal="0")
    return [event(container, "start"), end] * times


# -- waiting in vain


def test_one_that_ends_again_and_again_is_waited_for_in_vain(watch: SettingUp) -> None:
    watch.feed([event("db.1", "start"), event("db.1", "health", status="healthy")])
    assert not watch.feed(crash("migrate.1", MOST_EXITS - 1))
    assert "migrate.1 (it ended 11 times in a row with code 1)" in watch.waiting
    assert watch.feed(crash("migrate.1", 1))
    assert watch.problem == "container migrate.1: it ended 12 times in a row with code 1"


def test_what_may_still_become_ready_is_waited_for(watch: SettingUp) -> None:
    watch.feed([event("db.1", "start"), event("db.1", "health", status="starting")])
    assert not watch.feed(crash("migrate.1", 3 * MOST_EXITS)), "the database may be slow"
    assert watch.waiting.startswith("db.1 (starting), migrate.1")
    assert watch.feed([event("db.1", "health", status="healthy")])
    assert watch.vain == "migrate.1"


def test_ends_that_differ_are_progress(watch: SettingUp) -> None:
    for code in range(1, 4 * MOST_EXITS):
        assert not watch.feed(crash("migrate.1", MOST_EXITS - 1, code))


def test_one_on_which_nothing_waits_may_end_as_often_as_it_likes(watch: SettingUp) -> None:
    watch.feed([event("db.1", "start"), event("db.1", "health", status="healthy")])
    assert not watch.feed(crash("idle.1", 3 * MOST_EXITS))
    assert "idle.1" not in watch.waiting


def test_a_job_that_has_ended_well_is_not_waited_for(watch: SettingUp) -> None:
    watch.feed(crash("migrate.1", 1, code=0))
    assert "migrate.1" not in watch.waiting
    assert watch.feed([Event(at=1, source="life", type="setup.complete")])
    assert watch.done is not None and not watch.vain


# -- where the recording is


def fail(path: Path, error: type[BaseException], force: bool) -> Place:
    place = Place(path, force)
    with pytest.raises(error), place, RecordingFiles.create(path, head(title="new")):
        raise error("as the test wants")
    return place


def title(path: Path) -> str:
    with RecordingFiles.open(path) as files:
        return files.manifest.title


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return make(tmp_path / "shop.branchpoint", 1)


def test_a_failed_one_is_not_in_the_way_of_the_next(tmp_path: Path) -> None:
    path = tmp_path / "shop.branchpoint"
    for _ in range(2):
        place = fail(path, SetUpFailed, force=False)
        assert place.path == place.failed and title(place.path) == "new"
        assert [each.name for each in tmp_path.iterdir()] == ["shop.branchpoint.failed"]


def test_an_interrupted_one_keeps_its_place(tmp_path: Path) -> None:
    place = fail(tmp_path / "shop.branchpoint", KeyboardInterrupt, force=False)
    assert title(place.path) == "new" and place.path.name == "shop.branchpoint"


@pytest.mark.parametrize("error", [SetUpFailed, KeyboardInterrupt, OSError])
def test_with_force_the_old_one_comes_back(path: Path, error: type[BaseException]) -> None:
    place = fail(path, error, force=True)
    assert title(path) == "three containers"
    assert title(place.path) == "new" and place.path.name == "shop.branchpoint.failed"
    assert len(list(path.parent.iterdir())) == 2


def test_with_force_a_good_one_replaces_the_old_one(path: Path) -> None:
    with Place(path, force=True) as place:
        RecordingFiles.create(path, head(title="new")).close()
        place.keep()
    assert title(path) == "new"
    assert list(path.parent.iterdir()) == [path]


def test_an_old_one_survives_a_recorder_that_was_killed(path: Path) -> None:
    Place(path, force=True).__enter__()
    RecordingFiles.create(path, head(title="killed in set-up")).close()
    fail(path, SetUpFailed, force=True)
    assert title(path) == "three containers"


def test_what_a_killed_recorder_put_aside_does_not_take_the_place_of_a_newer_one(
    path: Path,
) -> None:
    Place(path, force=True).__enter__()
    began = head().inputs[0].at
    RecordingFiles.create(path, head(title="newer", origin=began + SECOND)).close()
    fail(path, SetUpFailed, force=True)
    assert title(path) == "newer"


def test_what_is_not_a_recording_is_not_replaced(tmp_path: Path) -> None:
    folder = tmp_path / "papers.branchpoint"
    folder.mkdir()
    (folder / "thesis").write_text("years of work")
    link = tmp_path / "link.branchpoint"
    link.symlink_to(make(tmp_path / "other.branchpoint", 1))
    for path in (folder, link):
        with pytest.raises(RecordingError, match="not a recording"), Place(path, force=True):
            pass
        assert path.exists()
    assert (folder / "thesis").read_text() == "years of work"


def test_one_that_is_being_recorded_is_not_replaced(path: Path) -> None:
    with (
        RecordingFiles.open(path, write=True),
        pytest.raises(RecordingError, match="another process"),
        Place(path, force=True),
    ):
        pass
    assert title(path) == "three containers"
