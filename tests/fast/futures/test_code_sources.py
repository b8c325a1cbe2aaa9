"""Code in a system's memory module, by file, function and line."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from branchpoint.futures.culprits.source import Source, Spot
from branchpoint.guest import erofs
from branchpoint.guest.places import Places
from branchpoint.guest.tree import Tree
from branchpoint.programs.elf import Program
from branchpoint.programs.python import Line

SETUP = b"""
overlay "$here/lower:/system/images/aa11" "$run/c/web.1/rw" "$run/c/web.1/rootfs"
overlay "$here/lower:/system/images/aa11" "$run/c/web.2/rw" "$run/c/web.2/rootfs"
overlay "$here/lower:/system/images/bb22" "$run/c/db.1/rw" "$run/c/db.1/rootfs"
"""
PROGRAM = """\
__attribute__((noinline)) int twice(int n)
{
    return n + n;
}

int main(int count, char **words)
{
    return twice(count) + words[0][0];
}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """program.c, and program with its debug information, bare without, debug only that."""
    folder = tmp_path_factory.mktemp("sources")
    (folder / "program.c").write_text(PROGRAM)
    compiled = ["cc", "-g", "-O0", "-Wl,--build-id", "-o", "program", "program.c"]
    for command in (
        compiled,
        ["strip", "-o", "bare", "program"],
        ["objcopy", "--only-keep-debug", "program", "debug"],
    ):
        subprocess.run(command, cwd=folder, check=True)
    return folder


def test_interpreters_whose_programs_are_not_known(folder: Path, tmp_path: Path) -> None:
    """Of those that ran; Python only where none runs that is known, as it may be two files."""
    program = (folder / "program").read_bytes()
    names = (
        "usr/bin/node",
        "usr/bin/dash",
        "usr/bin/python3.9",
        "usr/bin/nodedump",
        "usr/bin/ruby3.3",
    )
    files = {f"images/aa11/{name}": program for name in names}
    files["images/bb22/opt/jdk/lib/libjvm.so"] = program
    source, _ = built(folder, tmp_path / "module", files)
    extents = Places(tmp_path / "module").extents
    ran = [each.start for each in extents if "ruby" not in each.path]
    assert source.unknown(ran) == [
        "Java (db.1)",
        "JavaScript (web.1, web.2)",
        "a Python other than 3.11 to 3.13 (web.1, web.2)",
        "shell (web.1, web.2)",
    ]
    assert source.unknown([]) == []


def built(folder: Path, module: Path, files: dict[str, bytes]) -> tuple[Source, dict[str, int]]:
    """The source of a module with these files, and where in it ``twice`` of each program is."""
    tree = Tree()
    for path, data in {**files, "branchpoint/setup.sh": SETUP}.items():
        tree.add_file(path, data, 0o755)
    erofs.write_nvdimm(tree, module)
    program = Program((folder / "program").read_bytes())
    symbol = program.function("twice")
    assert symbol is not None
    inside = program.offset(symbol.start)
    assert inside is not None
    places = {each.path: each.start + inside for each in Places(module).extents}
    return Source(module), places


def test_machine_code_has_the_line_of_its_debug_information(folder: Path, tmp_path: Path) -> None:
    files = {
        "images/aa11/usr/bin/program": (folder / "program").read_bytes(),
        f"images/aa11{folder}/program.c": PROGRAM.encode(),
    }
    source, places = built(folder, tmp_path / "module", files)
    place = places["images/aa11/usr/bin/program"]
    spot = source.of_places({place})[place]
    assert spot == Spot(f"{folder}/program.c", "twice", 2, 0, ("web.1", "web.2"))
    assert spot.place == "program.c:2" and not spot.library
    assert source.text(spot) == "{" and source.text(spot._replace(line=3)) == "return n + n;"
    assert source.text(spot._replace(line=300)) == ""


@pytest.mark.parametrize(
    "apart", ["usr/lib/debug/.build-id/{}/{}.debug", "symbols/usr/bin/program"]
)
def test_debug_information_may_be_in_a_file_of_its_own(
    folder: Path, tmp_path: Path, apart: str
) -> None:
    build = Program((folder / "program").read_bytes()).build_id
    files = {
        "images/aa11/usr/bin/program": (folder / "bare").read_bytes(),
        f"images/aa11/{apart.format(build[:2], build[2:])}": (folder / "debug").read_bytes(),
    }
    source, places = built(folder, tmp_path / "module", files)
    place = places["images/aa11/usr/bin/program"]
    assert source.of_places({place})[place].place == "program.c:2"


def test_that_of_another_build_is_not_used(folder: Path, tmp_path: Path) -> None:
    other = (folder / "debug").read_bytes()
    build = bytes.fromhex(Program(other).build_id)
    files = {
        "images/aa11/usr/bin/program": (folder / "bare").read_bytes(),
        "images/aa11/symbols/usr/bin/program": other.replace(build, build[::-1]),
    }
    source, places = built(folder, tmp_path / "module", files)
    place = places["images/aa11/usr/bin/program"]
    assert source.of_places({place})[place].line is None


def test_without_it_a_place_is_named_in_its_program(folder: Path, tmp_path: Path) -> None:
    files = {
        "images/bb22/usr/bin/program": (folder / "bare").read_bytes(),
        "images/bb22/usr/lib/libx.so.1": (folder / "bare").read_bytes(),
        "images/bb22/usr/bin/script": b"#!/bin/sh\n" * 1000,
    }
    source, places = built(folder, tmp_path / "module", files)
    found = source.of_places(set(places.values()))
    program = found[places["images/bb22/usr/bin/program"]]
    assert (program.file, program.function, program.line) == ("/usr/bin/program", "", None)
    assert program.containers == ("db.1",) and program.place.startswith("program+0x")
    assert found[places["images/bb22/usr/lib/libx.so.1"]].library
    assert found[places["images/bb22/usr/bin/script"]].function == ""


def test_lines_of_python_programs_have_their_text(folder: Path, tmp_path: Path) -> None:
    files = {"images/bb22/srv/ring.py": b"def has(self):\n    return True\n"}
    source, _ = built(folder, tmp_path / "module", files)
    lines = [Line("/srv/ring.py", "Ring.has", 2), Line("<string>", "f", 1)]
    own, other = source.of_lines(lines).values()
    assert (own.containers, source.text(own), own.library) == (("db.1",), "return True", False)
    assert (other.containers, source.text(other), other.library) == ((), "", True)
