"""Packages unpacked here, as dpkg itself sees them afterwards."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

import pytest
from debs import deb

from branchpoint.errors import ImageError
from branchpoint.guest import unpacking
from branchpoint.guest.tree import Tree

ADMIN = unpacking.ADMIN


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BRANCHPOINT_CACHE", str(tmp_path / "cache"))


def written(tree: Tree, folder: Path) -> Path:
    """dpkg's database, as files of this computer."""
    for path, node in tree.walk():
        if path.startswith(ADMIN):
            target = folder / path
            target.mkdir(parents=True) if node.is_dir else target.write_bytes(tree.read(path))
    return folder / ADMIN


def dpkg(admin: Path, *words: str) -> str:
    command = ["dpkg", f"--admindir={admin}", *words]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_dpkg_finds_what_it_would_have_unpacked(tmp_path: Path) -> None:
    same = "Multi-Arch: same\n"
    packages = [
        deb(tmp_path, "tool", {"usr/bin/tool": "x", "etc/tool.conf": "old"},
            conffiles="/etc/tool.conf\n", postinst="#!/bin/sh\n",
            triggers="interest /usr/share/tool\ninterest-noawait told\n"),
        deb(tmp_path, "library", {"usr/lib/library.so": "y"}, same),
        deb(tmp_path, "data", {"usr/share/tool/d": "z"}, triggers="activate-noawait told\n"),
    ]  # fmt: skip
    unpacked = unpacking.unpack(packages)
    assert unpacked.left == []
    admin = written(unpacked.tree, tmp_path / "out")
    assert dpkg(admin, "--listfiles", "library:amd64").split() == [
        "/.", "/usr", "/usr/lib", "/usr/lib/library.so"
    ]  # fmt: skip
    shown = "${Package} ${Status} ${Conffiles}|"
    command = ["dpkg-query", f"--admindir={admin}", "--show", f"--showformat={shown}"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    md5 = hashlib.md5(b"old").hexdigest()
    assert [line.split() for line in said.split("|")] == [
        ["data", "install", "ok", "unpacked"],
        ["library", "install", "ok", "unpacked"],
        ["tool", "install", "ok", "unpacked", "/etc/tool.conf", md5],
        [],
    ]
    assert (admin / "triggers" / "File").read_text() == "/usr/share/tool tool\n"
    assert (admin / "triggers" / "told").read_text() == "tool/noawait\n"
    assert (admin / "triggers" / "Unincorp").read_text() == "/usr/share/tool -\ntold -\n"
    assert (admin / "info" / "tool.postinst").exists()


def test_packages_on_top_of_others(tmp_path: Path) -> None:
    """Those below are configured by then; what comes on top wakes their triggers."""
    below = deb(tmp_path, "below", {"usr/bin/below": "x"}, triggers="interest told\n")
    first = unpacking.unpack([below])
    status = first.tree.read(f"{ADMIN}/status")
    first.tree.add_file(f"{ADMIN}/status", status.replace(b"unpacked", b"installed"))
    top = deb(tmp_path, "top", {"usr/bin/top": "y"}, triggers="activate told\n")
    second = unpacking.unpack([top], first)
    assert [package.name for package in second.packages] == ["top"]
    admin = written(second.tree, tmp_path / "out")
    assert (admin / "triggers" / "Unincorp").read_text() == "told -\n"
    lines = dpkg(admin, "--list").splitlines()
    assert [line.split()[:2] for line in lines if "a test" in line] == [
        ["it", "below"],  # which waits for its triggers to be processed
        ["iU", "top"],
    ]


def test_the_package_that_replaces_another_has_the_file(tmp_path: Path) -> None:
    new = deb(tmp_path, "a-new", {"usr/bin/x": "new"}, "Replaces: z-old (<< 2)\n")
    old = deb(tmp_path, "z-old", {"usr/bin/x": "old", "usr/bin/y": "old"})
    unpacked = unpacking.unpack([new, old])
    assert unpacked.tree.read("usr/bin/x") == b"new"
    assert "usr/bin/x" not in unpacked.lists["z-old"]
    again = unpacking.unpack([new], unpacking.unpack([old]))
    assert b"/usr/bin/x" not in again.tree.read(f"{ADMIN}/info/z-old.list")


def test_a_package_that_diverts_a_file_is_left_to_dpkg(tmp_path: Path) -> None:
    script = "#!/bin/sh\ndpkg-divert --add --rename --divert /usr/bin/x.other /usr/bin/x\n"
    packages = [
        deb(tmp_path, "diverter", {"usr/bin/x": "new"}, preinst=script),
        deb(tmp_path, "other", {"usr/bin/x": "old"}),
        deb(tmp_path, "careful", {"usr/bin/y": "y"}, preinst=script),
    ]
    unpacked = unpacking.unpack(packages)
    assert [package.name for package in unpacked.left] == ["diverter"]
    assert unpacked.tree.read("usr/bin/x") == b"old"
    assert b"diverter" not in unpacked.tree.read(f"{ADMIN}/status")


def test_the_order_of_scripts(tmp_path: Path) -> None:
    packages = [
        deb(tmp_path, "a", {}, "Pre-Depends: helper | b (>= 1)\n"),
        deb(tmp_path, "c", {}, "Provides: helper\nDepends: d\n"),
        deb(tmp_path, "d", {}),
        deb(tmp_path, "e", {}),
    ]
    read = unpacking.unpack(packages).packages
    base = unpacking.unpack([deb(tmp_path, "base", {})]).packages
    groups = unpacking.stages(read, base)
    assert [[package.name for package in group] for group in groups] == [["c", "d"], ["a", "e"]]


def test_a_damaged_package_is_named(tmp_path: Path) -> None:
    good = deb(tmp_path, "good", {"usr/bin/x": "x" * 10000})
    good.path.write_bytes(good.path.read_bytes()[:4000])
    with pytest.raises(ImageError, match=r"cannot unpack .*good\.deb"):
        unpacking.unpack([good])
