"""The library that SDKs load, in containers of a real system: with glibc, musl, and neither."""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from busy import BUSY
from imagefiles import TestImage, layer, link, member

import branchpoint as bp
from branchpoint import bash
from branchpoint.events import sdk
from branchpoint.guest import compiler, debian, toolbox
from branchpoint.search.code import EDGES, edges_of
from branchpoint.sharing.report.exploring import report
from branchpoint.soak import soak, subject_of

GUARDED = Path(__file__).parents[1] / "programs" / "guarded.c"
LIBRARY = "/usr/lib/libvoidstar.so"
PROGRAM = """
import ctypes, json, os, time

lib = ctypes.CDLL("/usr/lib/libvoidstar.so")
lib.fuzz_get_random.restype = ctypes.c_uint64
lib.init_coverage_module.argtypes = [ctypes.c_size_t, ctypes.c_char_p]
lib.init_coverage_module.restype = ctypes.c_size_t
lib.notify_coverage.argtypes = [ctypes.c_size_t]
lib.notify_coverage.restype = ctypes.c_bool

def tell(name, body):
    data = json.dumps({name: body}, indent=1).encode()
    lib.fuzz_json_data(data, len(data))

shop, burst = lib.init_coverage_module(100, b'sh"op.tsv'), lib.init_coverage_module(2000, b"burst")
tell("offsets", [shop, burst])
answers = [lib.notify_coverage(shop + edge) for edge in (7, 99, 7, 3)]
tell("answers", answers)
for edge in range(2000):
    lib.notify_coverage(burst + edge)
tell("all was told", {})
if os.fork() == 0:
    lib.notify_coverage(shop + 7)
    lib.notify_coverage(shop + 8)
    tell("child", {})
    os._exit(0)
os.wait()
for offset in (shop - 1, burst + 2001, 2**63):
    assert not lib.notify_coverage(offset)
assert not lib.notify_coverage(lib.init_coverage_module(2**63, None))
tell("large", "x" * 5000)
assertion = {"hit": True, "must_hit": True, "assert_type": "always", "message": "it is soon",
             "condition": True, "id": "1", "location": {}, "details": {}}
for turn in range(10**6):
    time.sleep(0.25)
    drawn = lib.fuzz_get_random()
    tell("drew", {"n": drawn})
    lib.notify_coverage(shop + 10 + drawn % 80)
    tell("antithesis_assert", {**assertion, "condition": turn < 12})
"""
WAITING = """
#include <unistd.h>
int main(void) { for (;;) pause(); }
"""
COMPOSE = """
name: voidstar
services:
  teller:
    x-branchpoint-debian:
      packages: [python3-minimal, libpython3-stdlib]
      files: {/srv/teller.py: ./teller.py, /usr/lib/libvoidstar.so: ./theirs}
    command: [python3, /srv/teller.py]
  guarded:
    x-branchpoint-debian: {packages: [musl], files: {/srv/guarded: ./guarded}}
    command: [/srv/guarded]
    user: "65534:65534"
    read_only: true
  bare: {image: "docker-archive:./bare.tar", read_only: true}
  linked: {image: "docker-archive:./linked.tar"}
  broken: {image: "docker-archive:./broken.tar"}
  own:
    image: "docker-archive:./bare.tar"
    volumes: ["./mine:/usr/lib:ro"]
"""


def _files(folder: Path) -> None:
    """All that the compose file names."""
    (folder / "teller.py").write_text(PROGRAM)
    (folder / "theirs").write_bytes(b"for another machine")
    (folder / "waiting.c").write_text(WAITING)
    (folder / "mine").mkdir()
    waiting = member("wait", compiler.static_program([folder / "waiting.c"]), mode=0o755)
    TestImage([layer(waiting)], {"Cmd": ["/wait"]}).docker(folder / "bare.tar")
    linked = [waiting, member("usr"), member("opt"), link("usr/lib", "/opt")]
    way = {"linked": [link("opt/libvoidstar.so", "own"), member("opt/own", b"own")],
           "broken": [link("opt/libvoidstar.so", "own")]}  # fmt: skip
    for name, more in way.items():
        TestImage([layer(*linked, *more)], {"Cmd": ["/wait"]}).docker(folder / f"{name}.tar")
    musl = debian.unpack(debian.resolve(["musl"], keep=lambda name: name == "musl"))
    (folder / "libc.so").write_bytes(musl.read("usr/lib/x86_64-linux-musl/libc.so"))
    library = compiler.shared_library(toolbox.SOURCES[1], "libvoidstar.so")
    (folder / "libvoidstar.so").write_bytes(library)
    subprocess.run(
        ["gcc", "-O1", "-nostdlib", "-ffreestanding", "-fno-builtin", "-no-pie", "-o", "guarded",
         GUARDED, "libvoidstar.so", "libc.so", "-Wl,-rpath,/usr/lib",
         "-Wl,--dynamic-linker=/lib/ld-musl-x86_64.so.1"],
        cwd=folder, check=True,
    )  # fmt: skip
    (folder / "compose.yaml").write_text(COMPOSE)


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[bp.Recording]:
    folder = tmp_path_factory.mktemp("voidstar")
    _files(folder)
    path = folder / "voidstar.branchpoint"
    with bp.record(folder / "compose.yaml", path, seed=1, duration=5) as run:
        yield run


def bodies(events: bp.EventSet, container: str, name: str) -> list[object]:
    found = events.where(type="sdk.event", container=container, name=name)
    return [json.loads(event.fields["details"]) for event in found]


def edges(events: bp.EventSet, container: str, module: str) -> list[int]:
    """Those of a module, in the order in which they were told."""
    found = map(sdk.edges, events.where(type=sdk.CODE, container=container))
    return [edge for name, numbers in found if name == module for edge in numbers]


def test_data_become_events(told: bp.Recording) -> None:
    """Each is one line, though there are newlines in it."""
    assert told.events.where(stream="sdk", type="log").first is None
    assert bodies(told.events, "teller", "large") != []
    violated = told.events.where(type="sdk.assert", violated="1").first
    assert violated is not None and violated.text == "it is soon" and 3 < violated.vtime < 4
    branch = told.at(2).branch(seed=1)
    found = branch.wait_until("sdk:it is*", cap=5)
    assert found is not None and found.fields["violated"] == "1"


def test_no_line_of_eight_threads_is_torn(told: bp.Recording) -> None:
    """And the user of a read-only container may tell."""
    wide = bodies(told.events, "guarded", "wide")
    for each in wide:
        assert isinstance(each, dict)
        head = '{"wide":' + json.dumps({**each, "x": ""}, separators=(",", ":")) + "}"
        assert each["x"] == chr(ord("a") + each["of"]) * (1999 - len(head))
    assert len(wide) == 8 * 25 == len({(each["of"], each["line"]) for each in wide})
    assert [each["of"] for each in wide] != sorted(each["of"] for each in wide)


def test_a_forked_process_tells_too(told: bp.Recording) -> None:
    for container in ("teller", "guarded"):
        assert len(bodies(told.events, container, "child")) == 1
    assert bodies(told.events, "guarded", "parent") == [{"is": 1}]


def test_randomness_follows_from_the_seed(told: bp.Recording) -> None:
    def drawn(seed: int) -> dict[str, list[object]]:
        branch = told.at(1).branch(seed=seed)
        branch.wait(3)
        later = branch.events.after(1.1)
        names = {"teller": "drew", "guarded": "musl drew"}
        return {each: bodies(later, each, name) for each, name in names.items()}

    first, second, third = drawn(5), drawn(5), drawn(6)
    assert first == second
    for each, numbers in first.items():
        both = [*numbers, *third[each]]
        assert len(numbers) >= 2 and len(set(map(str, both))) == len(both)
    assert any(number["n"] >= 2**63 for number in first["teller"] + third["teller"])


def test_every_edge_is_told_once(told: bp.Recording) -> None:
    (offsets,) = bodies(told.events, "teller", "offsets")
    assert isinstance(offsets, list) and offsets[0] > 0 and offsets[1] > offsets[0] + 100
    assert bodies(told.events, "teller", "answers") == [[False] * 4]
    before, answers = (
        told.events.where(type="sdk.event", container="teller", name=name).first
        for name in ("offsets", "answers")
    )
    early = told.events.where(type=sdk.CODE, container="teller", start=before, end=answers)
    assert [event.fields["edges"] for event in early] == ["7", "99", "3"]
    shop = edges(told.events, "teller", "sh_op.tsv")
    assert len(shop) == len(set(shop)) and 8 in shop  # by the child, which does not tell 7 again
    assert edges(told.events, "guarded", "/srv/guarded:0") == [3, 5]
    assert bodies(told.events, "guarded", "guards are left") == [{"is": 1}]


def test_many_edges_at_once_take_few_lines(told: bp.Recording) -> None:
    """And none is lost."""
    assert sorted(edges(told.events, "teller", "burst")) == list(range(2000))
    lines = told.events.where(type=sdk.CODE, container="teller", module="burst")
    assert 256 < len(lines) < 600


def test_every_container_has_it(told: bp.Recording) -> None:
    """Also where /usr/lib is missing, or a link, or where an image has its own file or a link to
    it. Where that link is broken, or a service mounts something around its place, all is as it was.
    """
    branch = told.at(2).branch()
    library = compiler.shared_library(toolbox.SOURCES[1], "libvoidstar.so")
    for container in ("teller", "guarded", "bare", "linked"):
        script = f"sha256sum {LIBRARY}; echo >> {LIBRARY}"
        process = bash(script).run(branch, f"{container}.1", user="0")
        assert process.output.split()[0] == hashlib.sha256(library).hexdigest(), container
        assert "Read-only file system" in process.output
    for container in ("broken", "own"):
        assert bash(f"! test -e {LIBRARY}").run(branch, f"{container}.1").exit_code == 0


@pytest.mark.long
def test_a_search_is_led_by_edges(told: bp.Recording, tmp_path: Path) -> None:
    asked = {"length": 0.6, "seed": 1, "workers": 1, "triaged": False}
    silent = ("lines", "events", "assertions")
    path = tmp_path / "led.bpx"
    with bp.explore(
        told.path.parent, path, stretches=6, duration=600, without=silent, **asked
    ) as f:
        places = [place for place in f.tree.code.places if place >= EDGES]
        assert 2 <= len(places) == len(set(places))
        assert len(places) < len(f.tree.code)
        assert f"{len(places)} other places are edges" in report(f)
        for node in f.tree.nodes:
            late = [event for event in f.branch(node.number).events if event.at > node.start]
            news = {int(place) for event in late for place in edges_of(event)}
            assert {place for place in node.fresh_code if place >= EDGES} <= news
            assert bool(news)
    path = tmp_path / "blind.bpx"
    with bp.explore(
        told.path.parent, path, stretches=2, duration=600, without=["code", "python"], **asked
    ) as f:
        assert len(f.tree.code) == 0
        assert not any("burst" in sign or "sh_op" in sign for sign in f.tree.signs)


def test_it_replays_identically(told: bp.Recording) -> None:
    found = soak(subject_of(told, 3), 20, busy=BUSY)
    assert (found.replays, found.divergences) == (20, [])
