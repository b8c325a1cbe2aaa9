"""Test commands of containers: found in images and in mounted directories, or refused by name."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest
from imagefiles import TestImage, layer, link, member

from branchpoint.errors import BranchpointError
from branchpoint.guest.tree import Tree
from branchpoint.system.bundle import layout, templates
from branchpoint.system.compose.reading import load
from branchpoint.system.images.finding import find_images

V1 = "opt/antithesis/test/v1"
SYSTEM = """\
    services:
      client: {image: ./i.tar, volumes: [VOLUMES]}
      other: {image: ./i.tar, depends_on: [client]}
    """


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BRANCHPOINT_CACHE", str(tmp_path / "cache"))


def image(*commands: str, mode: int = 0o755) -> bytes:
    """A layer with these files below the folder of test templates."""
    return layer(*(member(f"{V1}/{name}", b"#!/bin/sh\n", mode=mode) for name in commands))


def tree(folder: Path, files: bytes, volumes: str = "") -> Tree:
    TestImage([files], {"Cmd": ["/x"]}).docker(folder / "i.tar")
    (folder / "compose.yaml").write_text(textwrap.dedent(SYSTEM.replace("VOLUMES", volumes)))
    system = load(folder, environ={})
    return layout.system_tree(system, find_images(system))


def commands(made: Tree) -> dict[str, list[str]]:
    return templates.listed(made.read("branchpoint/system.conf").decode())


def test_each_container_has_the_commands_of_its_image(tmp_path: Path) -> None:
    names = [
        "main/parallel_driver_b", "main/first_a", "main/helper_lib", "other/serial_driver_c.py",
    ]  # fmt: skip
    made = tree(tmp_path, image(*names))
    expected = ["main/first_a", "main/parallel_driver_b", "other/serial_driver_c.py"]
    assert commands(made) == {"client.1": expected, "other.1": expected}
    lines = made.read("branchpoint/system.conf").decode().splitlines()
    assert "test first main first_a" in lines and "test serial other serial_driver_c.py" in lines


def test_a_mounted_directory_hides_that_of_the_image(tmp_path: Path) -> None:
    for name in ("anytime_x", "eventually_y", "finally_z", "singleton_driver_w"):
        (tmp_path / "mine/deep").mkdir(parents=True, exist_ok=True)
        (tmp_path / "mine/deep" / name).write_text("#!/bin/sh\n")
        (tmp_path / "mine/deep" / name).chmod(0o755)
    made = tree(tmp_path, image("main/first_a", "main/anytime_b"), f"./mine/deep:/{V1}/main")
    assert commands(made) == {
        "client.1": [
            "main/anytime_x", "main/eventually_y", "main/finally_z", "main/singleton_driver_w",
        ],
        "other.1": ["main/anytime_b", "main/first_a"],
    }  # fmt: skip
    beside = tree(tmp_path, image("main/anytime_b"), f"./mine/deep:/{V1}/second")
    assert set(commands(beside)["client.1"]) >= {"main/anytime_b", "second/finally_z"}
    one = tree(tmp_path, image("main/anytime_b"), f"./mine/deep/finally_z:/{V1}/main/finally_z")
    assert commands(one)["client.1"] == ["main/anytime_b", "main/finally_z"]


def test_links_are_followed(tmp_path: Path) -> None:
    files = layer(
        member("bin/tool", b"x", mode=0o755), link(f"{V1}/main/parallel_driver_t", "/bin/tool")
    )
    assert commands(tree(tmp_path, files))["client.1"] == ["main/parallel_driver_t"]


def test_a_system_without_templates_has_no_commands(tmp_path: Path) -> None:
    assert commands(tree(tmp_path, layer(member("etc")))) == {}


@pytest.mark.parametrize(
    ("files", "words"),
    [
        (image("main/parallel_driver_a", "main/check.sh"),
         'service "client": /opt/antithesis/test/v1/main/check.sh is of no kind that is known'),
        (image("main/parallel_driver_a", mode=0o644), "parallel_driver_a cannot be run: it is not"),
        (image("main/first_a"), "the test template main has no command that begins with parallel"),
        (image("main/parallel_driver_a b"), "its name has unusual characters"),
        (image("my main/parallel_driver_a"), "the template's name has unusual characters"),
        (image("stray"), "/opt/antithesis/test/v1/stray is no directory"),
        (layer(link(f"{V1}/main/anytime_x", "/nowhere")), "anytime_x cannot be run: it is no file"),
    ],
)  # fmt: skip
def test_what_cannot_be_a_command_is_refused(tmp_path: Path, files: bytes, words: str) -> None:
    with pytest.raises(BranchpointError) as refused:
        tree(tmp_path, files)
    assert words in str(refused.value)
