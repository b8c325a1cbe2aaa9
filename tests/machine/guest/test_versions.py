"""Mixed versions: a container becomes another one, keeps its volumes, and goes back."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import branchpoint as bp
from branchpoint import bash

COMPOSE = """
name: versions
x-branchpoint: {ram: 512m}
services:
  store:
    x-branchpoint-debian:
      packages: [busybox-static]
      files: {/version: {content: "1"}, /srv/data/seed: {content: "of version 1"}}
    stop_grace_period: 1s
    command: [busybox, sh, -c, "echo I am $$(cat /version); exec busybox sleep infinity"]
    environment: {COLOUR: red}
    volumes: [kept:/kept, /srv/data]
    post_start:
      - {command: [busybox, touch, /hooked], user: root}
    scale: 2
    x-branchpoint: {versions: [store-2, broken]}
  store-2:
    x-branchpoint-debian:
      packages: [busybox-static]
      files:
        /version: {content: "2"}
        /srv/more/seed: {content: "of version 2"}
      users: {app: {uid: 1234}}
    environment: {COLOUR: blue}
    user: app
    volumes: [/srv/more]
    scale: 0
  broken:
    x-branchpoint-debian: {packages: [busybox-static]}
    command: [/nothing/of/the/kind]
    scale: 0
volumes: {kept: {}}
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[bp.Recording]:
    folder = tmp_path_factory.mktemp("versions")
    (folder / "compose.yaml").write_text(COMPOSE)
    with bp.record(folder, folder / "versions.branchpoint", seed=1, duration=0.5) as run:
        yield run


def said(branch: bp.Branch, script: str, container: str = "store.1") -> str:
    done = bash(script).run(branch, container, privileged=True)
    assert done.exit_code == 0, done.stderr
    return done.stdout.strip()


def upgraded(run: bp.Recording) -> bp.Branch:
    branch = run.end.branch()
    said(branch, "echo mine > /kept/note; echo own > /srv/data/note; echo gone > /scratch")
    branch.faults.upgrade("store.1", "store-2")
    branch.wait(3)
    return branch


def test_a_container_becomes_another_version_and_keeps_what_lasts(run: bp.Recording) -> None:
    branch = upgraded(run)
    assert said(branch, "cat /version; echo ' '$COLOUR; cat /kept/note /srv/data/note") == (
        "2 blue\nmine\nown"
    )
    assert said(branch, "cat /srv/data/seed /srv/more/seed") == "of version 1of version 2"
    assert bash("cat /scratch").run(branch, "store.1").exit_code != 0
    assert bash("id -u").run(branch, "store.1").stdout.strip() == "1234"
    assert said(branch, "cat /version", "store.2") == "1"


def test_its_address_and_name_stay(run: bp.Recording) -> None:
    address = "hostname; ip -4 -o addr show dev eth0"
    before = said(run.end.branch(), address)
    assert said(upgraded(run), address) == before


def test_what_happened_is_told(run: bp.Recording) -> None:
    branch = upgraded(run)
    events = branch.events.where(container="store.1")
    assert [event.text for event in events.where(type="container.version")] == ["becomes store-2"]
    assert any("I am 2" in event.text for event in events.where(type="log"))
    assert branch.containers()["store.1"].status == "running as store-2"
    assert "upgrade store.1>store-2" in str(branch.events.where(type="fault.start"))


@pytest.mark.long
def test_it_is_rolled_back_with_a_fresh_file_system(run: bp.Recording) -> None:
    branch = upgraded(run)
    branch.faults.upgrade("store.1", "store")
    branch.wait(3)
    assert said(branch, "cat /version; cat /kept/note") == "1mine"
    assert bash("cat /scratch").run(branch, "store.1").exit_code != 0
    assert said(branch, "ls /hooked") == "/hooked"
    assert branch.containers()["store.1"].status == "running"


@pytest.mark.long
def test_it_is_rolled_back_in_time_by_itself(run: bp.Recording) -> None:
    branch = run.end.branch()
    branch.faults.upgrade("store.1", "store-2", for_=20)
    branch.wait(25)
    assert [e.text for e in branch.events.where(type="container.version")] == [
        "becomes store-2", "becomes store",
    ]  # fmt: skip
    assert said(branch, "cat /version") == "1"


def test_the_last_of_several_changes_counts(run: bp.Recording) -> None:
    branch = run.end.branch()
    branch.faults.upgrade("store.1", "store-2")
    branch.wait(0.1)
    branch.faults.upgrade("store.1", "store")
    branch.wait(3)
    assert said(branch, "cat /version") == "1"


def test_a_version_that_cannot_start_is_told_and_can_be_left(run: bp.Recording) -> None:
    branch = run.end.branch()
    branch.faults.upgrade("store.2", "broken")
    branch.wait(3)
    errors = branch.events.where(type="error")
    assert len(errors) == 1 and "cannot be started" in str(errors)
    branch.faults.upgrade("store.2", "store-2")
    branch.wait(2)
    assert said(branch, "cat /version", "store.2") == "2"


@pytest.mark.long
def test_the_history_is_the_same_when_it_is_run_again(run: bp.Recording) -> None:
    upgraded(run).check()


def test_versions_are_drawn_by_seed(run: bp.Recording) -> None:
    branch = run.end.branch()
    branch.faults.settings = {"upgrade": {"every": 10, "to": "store-2", "for": 5}}
    branch.wait(60)
    drawn = [e.fields["target"] for e in branch.events.where(type="fault.start")]
    assert drawn and set(drawn) <= {"store.1>store-2", "store.2>store-2"}
    assert not branch.events.where(type="error")


@pytest.mark.parametrize(
    ("container", "to", "words"),
    [("store.1", "store-3", 'did you mean "store-2"'), ("store", "store-2", "has 2 containers")],
)
def test_what_cannot_be_is_refused(run: bp.Recording, container: str, to: str, words: str) -> None:
    with pytest.raises(bp.BranchpointError, match=words):
        run.end.branch().faults.upgrade(container, to)
