"""Where the images of a compose file come from: archives, a local engine, a build."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from imagefiles import TestImage, layer, member

from branchpoint.errors import BranchpointError, ImageError
from branchpoint.guest.tree import Tree
from branchpoint.system.compose.reading import load
from branchpoint.system.images import finding, projectfiles
from branchpoint.system.images.archive import ImageConfig
from branchpoint.system.images.engines import ContainerEngine, builder
from branchpoint.system.images.finding import find_images
from branchpoint.system.model import Build, Recipe

IMAGE = TestImage([layer(member("data"), member("data/new", b"new"))])


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BRANCHPOINT_CACHE", str(tmp_path / "cache"))


def compose(tmp_path: Path, body: str) -> Path:
    (tmp_path / "compose.yaml").write_text(body)
    return tmp_path


def test_references(tmp_path: Path) -> None:
    IMAGE.docker(tmp_path / "plain.tar")
    IMAGE.oci(tmp_path / "layout", tag="v1")
    system = load(
        compose(
            tmp_path,
            """
services:
  a: {image: ./plain.tar}
  b: {image: "docker-archive:plain.tar:test:1"}
  c: {image: "oci:layout:v1"}
  d: {image: "named:7"}
  e: {image: ./gone.tar, scale: 0}
x-branchpoint: {images: {"named:7": ./plain.tar}}
""",
        ),
        environ={},
    )
    images = find_images(system)
    assert sorted(images) == ["a", "b", "c", "d"]
    assert {image.id for image in images.values()} == {IMAGE.id}
    assert images["d"].unpack().read("data/new") == b"new"


def test_a_missing_archive_is_located(tmp_path: Path) -> None:
    system = load(compose(tmp_path, "services:\n  a:\n    image: ./gone.tar\n"), environ={})
    with pytest.raises(
        ImageError, match=r'compose\.yaml:3: service "a": .*gone\.tar does not exist'
    ):
        find_images(system)


ENGINE = """#!/bin/sh
echo "$0 $*" >> {log}
case "$1 $2" in
    "image inspect") [ "$5" = shop:1 ] || [ "$5" = {id} ] && echo sha256:{id} && exit 0
        echo "Error: No such image: $5" >&2; exit 1;;
    "save -o") cp {archive} "$3";;
    "build --iidfile") echo sha256:{id} > "$3";;
    "info ") exit 0;;
    *) exit 9;;
esac
"""


def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str = ENGINE) -> Path:
    """A stand-in for docker that answers like docker, and logs its arguments."""
    log = tmp_path / "log"
    folder = tmp_path / "bin"
    folder.mkdir()
    program = folder / "docker"
    program.write_text(
        script.format(log=log, id=IMAGE.id, archive=IMAGE.docker(tmp_path / "saved.tar"))
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.defpath}")
    return log


def test_a_local_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = engine(tmp_path, monkeypatch)
    system = load(compose(tmp_path, "services: {a: {image: 'shop:1'}}"), environ={})
    for _ in range(2):
        image = find_images(system)["a"]
        assert (image.name, image.id) == ("shop:1", IMAGE.id)
    assert log.read_text().count("save -o") == 1  # the second time it was in the cache
    assert image.unpack().read("data/new") == b"new"


def test_building(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = engine(tmp_path, monkeypatch)
    body = "services: {a: {build: {context: ., dockerfile: D, target: t, args: {X: y}}}}"
    image = find_images(load(compose(tmp_path, body), environ={}))["a"]
    assert image.id == IMAGE.id
    (line,) = [line for line in log.read_text().splitlines() if " build " in line]
    assert f"-f {tmp_path}/D --target t --build-arg X=y {tmp_path}" in line


def test_building_with_contexts_and_secrets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = engine(tmp_path, monkeypatch)
    for name in ("docs", "kept"):
        (tmp_path / name).mkdir()
    (tmp_path / "key").write_text("k")
    body = """
services:
  a:
    build:
      additional_contexts: {d: ./docs, i: "docker-image://shop:1", l: "oci-layout://kept"}
      secrets: [key, word]
secrets: {key: {file: ./key}, word: {environment: WORD}}
"""
    (tmp_path / "Dockerfile").write_text("FROM shop:1")
    find_images(load(compose(tmp_path, body), environ={"WORD": "w"}))
    (line,) = [line for line in log.read_text().splitlines() if " build " in line]
    for name, place in (("d", f"{tmp_path}/docs"), ("i", "docker-image://shop:1"),
                        ("l", f"oci-layout://{tmp_path}/kept")):  # fmt: skip
        assert f"--build-context {name}={place} " in line
    assert f"--secret id=key,src={tmp_path}/key --secret id=word,src=" in line


def test_an_image_nobody_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine(tmp_path, monkeypatch)
    system = load(compose(tmp_path, "services:\n  a:\n    image: redis:7\n"), environ={})
    with pytest.raises(ImageError) as caught:
        find_images(system)
    text = str(caught.value)
    assert 'compose.yaml:3: service "a": the image "redis:7" is not on this computer' in text
    assert "docker: Error: No such image: redis:7; podman is not installed" in text
    assert "docker save -o redis-7.tar redis:7" in text


def test_no_engine_to_build(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert builder() is None
    (tmp_path / "Dockerfile").write_text("FROM redis:7\n")
    system = load(compose(tmp_path, "services: {a: {build: .}}"), environ={})
    with pytest.raises(ImageError) as caught:
        find_images(system)
    text = str(caught.value)
    assert 'Dockerfile:1: the image "redis:7" is not on this computer (docker is not inst' in text
    assert "docker save -o redis-7.tar redis:7" in text


def test_an_engine_builds_unless_only_we_know_the_base(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = engine(tmp_path, monkeypatch)
    for base, ours in (("shop:1", False), ("./saved.tar", True), ("known", True), ("low", True)):
        (tmp_path / "Dockerfile").write_text(f"FROM {base}\nENV X=1\n")
        body = """
services:
  a: {build: .}
  low: {x-branchpoint-debian: {}, scale: 0}
x-branchpoint: {images: {known: ./saved.tar}}
"""
        monkeypatch.setattr(finding, "DebianImage", Known)
        image = find_images(load(compose(tmp_path, body), environ={}))["a"]
        assert (image.id != IMAGE.id) == ours
        assert ("X=1" in image.config.environment) == ours
    assert log.read_text().count(" build ") == 1


class Known:
    """Stands for an image of Debian packages, whose names are not looked up here."""

    def __init__(self, recipe: Recipe) -> None:
        self.id, self.config, self.unpack = "0" * 64, ImageConfig(), Tree


def test_a_failing_build_shows_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine(
        tmp_path,
        monkeypatch,
        '#!/bin/sh\n[ "$1" = info ] && exit 0\necho "step 3: no such file"; exit 1\n',
    )
    system = load(compose(tmp_path, "services: {a: {build: .}}"), environ={})
    with pytest.raises(BranchpointError, match=r"could not build .*\n.*step 3: no such file"):
        find_images(system)


def test_what_an_engine_prints_need_not_be_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "bin" / "docker"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\nprintf 'bad \\377 byte\\n' | tee /dev/stderr\n" + "exit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=":")
    engine = ContainerEngine("docker")
    assert "bad \ufffd byte" in engine.find("x")[1]
    with pytest.raises(ImageError, match="bad \ufffd byte"):
        engine.build(Build(str(tmp_path), 1), "x")
    with pytest.raises(ImageError, match="bad \ufffd byte"), engine.saved("0" * 64, "x"):
        pass
    assert builder() != engine


def test_a_project_that_is_too_deep_is_refused(tmp_path: Path) -> None:
    deepest = tmp_path.joinpath(*["d"] * 200)
    deepest.mkdir(parents=True)
    assert len(list(projectfiles.entries(tmp_path))) == 201
    (deepest / "file").touch()
    with pytest.raises(ImageError, match="more than 200 levels deep"):
        list(projectfiles.entries(tmp_path))
