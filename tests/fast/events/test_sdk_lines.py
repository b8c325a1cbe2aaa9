"""Lines of an SDK become events; the pipes through which they come."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from imagefiles import TestImage, layer, link, member

from branchpoint.errors import ComposeError
from branchpoint.events import sdk
from branchpoint.events.event import Event
from branchpoint.events.reports import from_guest
from branchpoint.guest import wire
from branchpoint.guest.toolbox import STOP_FAULTS, VOIDSTAR
from branchpoint.guest.tree import Tree
from branchpoint.system.bundle.layout import system_tree
from branchpoint.system.bundle.sdk import LIBRARY
from branchpoint.system.compose import reading as compose
from branchpoint.system.images.finding import find_images

ASSERTION = {
    "hit": True, "must_hit": True, "assert_type": "always", "display_type": "Always",
    "message": "counts add up", "condition": True, "id": "counts add up",
    "location": {"file": "bank.py", "begin_line": 12, "function": "check"},
    "details": {"left": 1, "right": 2},
}  # fmt: skip


def told(line: object) -> Event:
    """The event made from a program's line; anything except bytes is written as JSON."""
    data = line if isinstance(line, bytes) else json.dumps(line).encode()
    return from_guest(wire.Line(7, "container/bank.1", "sdk", data), 5)


def asserted(**changes: object) -> Event:
    return told({"antithesis_assert": {**ASSERTION, **changes}})


def test_an_assertion() -> None:
    event = asserted()
    assert (event.type, event.container, event.at, event.origin) == ("sdk.assert", "bank.1", 7, 5)
    assert event.text == "counts add up"
    assert event.fields == {
        "id": "counts add up", "message": "counts add up", "type": "always", "hit": "1",
        "condition": "1", "violated": "0", "location": "bank.py:12",
        "details": '{"left":1,"right":2}',
    }  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "kind", "violated"),
    [
        ({"condition": False}, "always", "1"),
        ({"condition": False, "hit": False}, "always", "0"),
        ({"condition": False, "must_hit": False}, "always_or_unreachable", "1"),
        ({"condition": False, "assert_type": "sometimes"}, "sometimes", "0"),
        ({"assert_type": "reachability"}, "reachable", "0"),
        (
            {"assert_type": "reachability", "must_hit": False, "condition": False},
            "unreachable",
            "1",
        ),
    ],
)  # fmt: skip
def test_which_assertions_are_violated(changes: dict, kind: str, violated: str) -> None:
    fields = asserted(**changes).fields
    assert (fields["type"], fields["violated"]) == (kind, violated)


def test_set_up_and_events() -> None:
    event = told({"antithesis_setup": {"status": "complete", "details": {"nodes": 3}}})
    assert (event.type, event.text) == ("sdk.setup", "complete")
    assert event.fields == {"status": "complete", "details": '{"nodes":3}'}
    event = told({"leader elected": {"term": 4}})
    assert (event.type, event.text) == ("sdk.event", 'leader elected {"term":4}')
    assert event.fields == {"name": "leader elected", "details": '{"term":4}'}
    assert told({"antithesis_sdk": {"sdk_version": "0.4.0"}}).type == "sdk.info"


def test_edges_that_run_for_the_first_time() -> None:
    event = told({"branchpoint_coverage": {"module": "a b", "edges": [3, 0, 17]}})
    assert (event.type, event.text) == ("sdk.code", "a b runs 3 0 17")
    assert event.fields == {"module": "a b", "edges": "3 0 17"}
    assert sdk.edges(event) == ("a b", [3, 0, 17])
    assert sdk.edges(told({"edges": [1]})) == ("", [])
    damaged = event.fields | {"edges": "3 x 5"}
    assert sdk.edges(msgspec.structs.replace(event, fields=damaged)) == ("a b", [3, 5])


@pytest.mark.parametrize(
    "edges",
    [None, [], 3, "3", [-1], [1.5], ["1"], [True], [2**32], list(range(10_000)), {"1": 2}],
)
def test_other_edges_are_only_lines(edges: object) -> None:
    assert told({"branchpoint_coverage": {"module": "a", "edges": edges}}).type == "log"


@pytest.mark.parametrize(
    "line",
    [b"", b"no JSON", b"[1]", b"{}", b'{"a": 1, "b": 2}', b'{"antithesis_assert": {}}',
     b"[" * 100_000, b'{"a": "\xff"}'],
)  # fmt: skip
def test_other_lines_stay_lines(line: bytes) -> None:
    event = told(line)
    assert (event.type, event.stream) == ("log", "sdk")
    assert event.text == line.decode("utf-8", "backslashreplace")


@given(st.binary(max_size=200) | st.from_type(dict).map(lambda d: json.dumps(str(d)).encode()))
def test_no_line_is_too_strange(line: bytes) -> None:
    assert told(line).container == "bank.1"


def test_what_is_kept_is_bounded() -> None:
    event = asserted(message="m" * 30_000, details={"x": "y" * 30_000})
    assert max(map(len, event.fields.values())) == sdk.LONGEST


def test_lines_of_other_streams_are_only_lines() -> None:
    line = wire.Line(7, "container/bank.1", "out", json.dumps({"x": {}}).encode())
    assert from_guest(line).type == "log"


# -- files


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BRANCHPOINT_CACHE", str(tmp_path / "cache"))


def tree_of(folder: Path, text: str, files: Iterable[Any] = (member("bin"),)) -> Tree:
    TestImage([layer(*files)], {"Cmd": ["/bin/x"]}).docker(folder / "a.tar")
    (folder / "compose.yaml").write_text(text.replace("IMAGE", '"docker-archive:./a.tar"'))
    system = compose.load(folder / "compose.yaml", environ={})
    return system_tree(system, find_images(system))


def files_of(tree: Tree, name: str) -> tuple[dict[str, str], dict[str, str]]:
    """Where a container's files are mounted, and what its environment says about them."""
    config = json.loads(tree.read(f"branchpoint/containers/{name}/config.json"))
    mounts = {m["destination"]: m["source"] for m in config["mounts"] if "/sdk/" in m["source"]}
    told = [e.split("=", 1) for e in config["process"]["env"] if e.startswith("ANTITHESIS")]
    assert len(dict(told)) == len(told)
    return mounts, dict(told)


STOP = "/dev/branchpoint/sdk/stop-faults"


def test_every_container_has_its_folder(tmp_path: Path) -> None:
    tree = tree_of(tmp_path, "services: {a: {image: IMAGE}}\n")
    assert files_of(tree, "a.1") == (
        {"/dev/branchpoint/sdk": "/run/branchpoint/sdk/a.1"},
        {
            "ANTITHESIS_OUTPUT_DIR": "/dev/branchpoint/sdk",
            "ANTITHESIS_SDK_LOCAL_OUTPUT": "/dev/branchpoint/sdk/sdk.jsonl",
            "ANTITHESIS_STOP_FAULTS": STOP,
        },
    )
    assert b"mkdir -m 1777 /run/branchpoint/sdk/a.1\n" in tree.read("branchpoint/setup.sh")
    config = json.loads(tree.read("branchpoint/containers/a.1/config.json"))
    (program,) = [mount for mount in config["mounts"] if mount["destination"] == STOP]
    assert program["source"] == STOP_FAULTS and "ro" in program["options"]


def has_library(tree: Tree, name: str) -> bool:
    config = json.loads(tree.read(f"branchpoint/containers/{name}/config.json"))
    found = [mount for mount in config["mounts"] if mount["source"] == VOIDSTAR]
    assert all(each["destination"] == LIBRARY and "ro" in each["options"] for each in found)
    return bool(found)


def test_every_container_has_the_library_but_where_it_cannot_be_put(tmp_path: Path) -> None:
    for name in ("own", "usr", "lib"):
        (tmp_path / name).mkdir()
    tree = tree_of(tmp_path, """
services:
  a: {image: IMAGE, read_only: true, volumes: ["./lib:/usr/lib64", "./own:/usr/libvoidstar.so"]}
  b: {image: IMAGE, volumes: ["./lib:/usr/lib:ro"]}
  c: {image: IMAGE, volumes: ["usr:/usr"]}
  d: {image: IMAGE, tmpfs: [/usr/lib/libvoidstar.so]}
  e: {image: IMAGE, volumes: ["./lib:/lib:ro"]}
volumes: {usr: {}}
""", [member("usr"), member("usr/lib"), link("lib", "usr/lib")])  # fmt: skip
    assert [name for name in "abcde" if has_library(tree, f"{name}.1")] == ["a"]


@pytest.mark.parametrize(
    ("way", "has"),
    [
        ([member("usr/lib"), member("usr/lib/libvoidstar.so", b"theirs")], True),
        ([link("usr/lib", "../bin")], True),
        ([link("usr/lib", "/gone")], False),
        ([member("usr/lib"), link("usr/lib/libvoidstar.so", "gone.so")], False),
    ],
)
def test_a_broken_link_in_its_place_stays(tmp_path: Path, way: list[Any], has: bool) -> None:
    files = [member("bin"), member("usr"), *way]
    tree = tree_of(tmp_path, "services: {a: {image: IMAGE}}\n", files)
    assert has_library(tree, "a.1") is has


def test_services_say_where_their_files_are(tmp_path: Path) -> None:
    tree = tree_of(tmp_path, """
services:
  a: {image: IMAGE, user: "7:8", environment: {ANTITHESIS_SDK_LOCAL_OUTPUT: /var/log/x.jsonl}}
  b: {image: IMAGE, working_dir: /srv, environment: {ANTITHESIS_OUTPUT_DIR: out}}
  c: {image: IMAGE, environment: {ANTITHESIS_OUTPUT_DIR: "", ANTITHESIS_STOP_FAULTS: /mine}}
""")  # fmt: skip
    place, own = "/run/branchpoint/sdk", "/dev/branchpoint/sdk"
    mounts, told = files_of(tree, "a.1")
    assert mounts == {own: f"{place}/a.1", "/var/log/x.jsonl": f"{place}/a.1/sdk.jsonl"}
    assert told["ANTITHESIS_SDK_LOCAL_OUTPUT"] == "/var/log/x.jsonl"
    setup = tree.read("branchpoint/setup.sh").decode()
    assert f"chown 7:8 {place}/a.1/sdk.jsonl" in setup and f"{place}/b.1/sdk.jsonl" not in setup
    mounts, told = files_of(tree, "b.1")
    assert mounts == {own: f"{place}/b.1", "/srv/out": f"{place}/b.1"}
    assert told["ANTITHESIS_SDK_LOCAL_OUTPUT"] == "/srv/out/sdk.jsonl"
    told = files_of(tree, "c.1")[1]
    assert (told["ANTITHESIS_OUTPUT_DIR"], told["ANTITHESIS_STOP_FAULTS"]) == (own, "/mine")


def test_set_up_may_wait_for_a_program(tmp_path: Path) -> None:
    tree = tree_of(tmp_path, "x-branchpoint: {setup: sdk}\nservices: {a: {image: IMAGE}}\n")
    assert tree.read("branchpoint/system.conf").startswith(b"setup sdk\ncontainer a.1\n")


def test_other_ways_of_set_up_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ComposeError, match='"setup"'):
        tree_of(tmp_path, "x-branchpoint: {setup: never}\nservices: {a: {image: IMAGE}}\n")
