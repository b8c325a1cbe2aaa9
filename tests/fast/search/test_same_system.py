"""An exploration goes on with the system that it has begun with, and with no other."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import msgspec
import pytest
from explorations import begun
from imagefiles import TestImage, layer, member
from recordings import head

import branchpoint as bp
from branchpoint.search import exploring
from branchpoint.search.exploration import BASE, Head
from branchpoint.search.exploring import prepare
from branchpoint.system import System, load
from branchpoint.system.bundle.contents import contents

COMPOSE = """name: shop
services:
  db:
    image: ./db.tar
    volumes: [./conf:/etc/db, .:/all]
  made: {build: .}
"""
COMPOSED = head().compose


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project whose image is beside it."""
    folder = tmp_path / "project"
    (folder / "conf").mkdir(parents=True)
    (folder / "conf" / "db.conf").write_text("fsync = on\n")
    (folder / "compose.yaml").write_text(COMPOSE)
    (folder / "Dockerfile").write_text("FROM python:3\nRUN true\nCOPY . /srv\n")
    TestImage([layer(member("a", b"a"))], {}).docker(folder / "db.tar")
    return folder


def made_of(folder: Path) -> dict[str, str]:
    return contents(load(folder, environ={}), folder / "shop.bpx")


def test_what_a_system_is_made_of_is_known_wherever_it_lies(project: Path, tmp_path: Path) -> None:
    """Nothing is built for it, and neither the exploration nor a recording counts."""
    first = made_of(project)
    assert set(first) == {"image of db", "files of db", "build of made"}
    for name in ("shop.bpx", "shop.branchpoint", "shop.branchpoint.failed"):
        (project / name).mkdir()
        (project / name / "data").write_text("more each time")
    assert made_of(project) == first
    (tmp_path / "link").symlink_to(project)
    assert made_of(tmp_path / "link") == first
    moved = tmp_path / "elsewhere" / "shop"
    shutil.copytree(project, moved)
    assert made_of(moved) == first
    (project / "conf" / "db.conf").write_text("fsync = off\n")
    TestImage([layer(member("a", b"b"))], {}).docker(project / "db.tar")
    second = made_of(project)
    assert set(second) == set(first) and not set(second.values()) & set(first.values())
    (project / "db.tar").unlink()
    assert set(made_of(project)) == {"files of db", "build of made"}


@pytest.mark.parametrize("more", ["", "ADD https://example.org/tool /tool\n"])
@pytest.mark.parametrize("file", ["app.py", "Dockerfile"])
def test_the_code_that_a_dockerfile_copies_is_a_part_of_it(
    project: Path, file: str, more: str
) -> None:
    """Also where only an engine can do what is in it."""
    with (project / "Dockerfile").open("a") as stream:
        stream.write(more)
    first = made_of(project)
    with (project / file).open("a") as stream:
        stream.write("# more\n")
    changed = made_of(project)
    assert first.pop("build of made") != changed.pop("build of made")
    assert first == changed


def system(folder: Path, text: str = COMPOSED) -> System:
    folder.mkdir(exist_ok=True)
    (folder / "compose.yaml").write_text(text)
    return load(folder, environ={})


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        (COMPOSED.replace("db:1", "db:2"), "\"db: {image: 'db:1'}\", not \"db: {image: 'db:2'}\""),
        (COMPOSED + "  web: {image: 'w:1'}\n", '"", not "web: {image: \'w:1\'}", in its compose'),
    ],
)
def test_the_compose_files_have_to_be_the_same(tmp_path: Path, changed: str, why: str) -> None:
    path = tmp_path / "x.bpx"
    begun(path).close()
    asked = Head.read(path)
    for folder in ("here", "there"):
        prepare(system(tmp_path / folder), "", path, asked, {})
    with pytest.raises(bp.BranchpointError) as caught:
        prepare(system(tmp_path / "here", changed), "", path, asked, {})
    assert why in str(caught.value) and "choose another name" in caught.value.hint


def test_other_profiles_make_another_system(tmp_path: Path) -> None:
    path = tmp_path / "x.bpx"
    begun(path).close()
    found = system(tmp_path / "project")
    twice = (*found.containers, dataclasses.replace(found.containers[0], name="web.1"))
    with pytest.raises(bp.BranchpointError, match=r"other containers .*: web\.1"):
        prepare(dataclasses.replace(found, containers=twice), "", path, Head.read(path), {})


def test_what_could_not_be_set_up_may_be_mended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing was explored yet; what is recorded then is what later has to be the same."""
    path, here = tmp_path / "x.bpx", system(tmp_path / "project")
    begun(path).close()
    known = Head.read(path)
    (path / BASE).rename(tmp_path / "recorded")
    wrong = msgspec.structs.replace(known, content={"files of db": "ab"})
    (path / "exploration.json").write_bytes(msgspec.json.encode(wrong))

    def record(_: object, to: Path, **__: object) -> bp.Recording:
        shutil.copytree(tmp_path / "recorded", to)
        return bp.open(to)

    monkeypatch.setattr(exploring.recordings, "record", record)
    mended = msgspec.structs.replace(known, content={"files of db": "cd"})
    prepare(here, "", path, mended, {})
    assert Head.read(path) == mended and (path / BASE).exists()
    with pytest.raises(bp.BranchpointError, match="with changed files of db\n"):
        prepare(here, "", path, wrong, {})


def test_a_depth_that_differs_by_little_is_another_one(tmp_path: Path) -> None:
    path, here = tmp_path / "x.bpx", system(tmp_path / "project")
    begun(path).close()
    deeper = msgspec.structs.replace(Head.read(path), depth=1_000_000_001)
    with pytest.raises(bp.BranchpointError, match=r"with depth 1 s, not 1\.000000001 s"):
        prepare(here, "", path, deeper, {})


def test_images_and_files_have_to_be_the_same_where_they_are_known(tmp_path: Path) -> None:
    path, here = tmp_path / "x.bpx", system(tmp_path / "project")
    begun(path).close()
    known = msgspec.structs.replace(
        Head.read(path), content={"image of db": "ab", "files of db": "cd"}
    )
    (path / "exploration.json").write_bytes(msgspec.json.encode(known))
    for content in ({}, {"files of db": "cd", "image of new": "ef"}):
        prepare(here, "", path, msgspec.structs.replace(known, content=content), {})
    with pytest.raises(bp.BranchpointError, match="with changed image of db\n"):
        prepare(here, "", path, msgspec.structs.replace(known, content={"image of db": "0"}), {})
    assert (path / BASE).exists()
