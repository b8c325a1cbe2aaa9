"""Packages unpacked into the cache, to run their programs here."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from archives import build

from branchpoint.debian import hosttools
from branchpoint.debian.entry import Deb
from branchpoint.errors import ImageError, SetupError
from branchpoint.guest import erofs


def deb(path: Path) -> Deb:
    return Deb(path.name.partition("_")[0], "1.0", "0" * 64, path)


def test_everybody_may_read_what_was_unpacked_and_nobody_gains_rights(tmp_path: Path) -> None:
    made = build(tmp_path, "tool", files={"usr/bin/tool": b"#!/bin/sh\n", "usr/lib/data": b"x"})
    root = next(tmp_path.glob("root-*"))
    (root / "usr/bin/tool").chmod(0o6711)
    (root / "usr/lib/data").chmod(0o600)
    (root / "usr/share/doc/tool").mkdir(parents=True)
    subprocess.run(["dpkg-deb", "--build", root, made], check=True, capture_output=True)
    folder = tmp_path / "unpacked"
    hosttools.unpack([deb(made)], folder)
    modes = {
        path.relative_to(folder).as_posix(): path.stat().st_mode & 0o7777
        for path in folder.rglob("*")
        if path.is_file()
    }
    assert modes == {"usr/bin/tool": 0o755, "usr/lib/data": 0o644}
    assert folder.stat().st_mode & 0o777 == 0o755
    assert not (folder / "usr/share/doc").exists()


def test_a_damaged_package_is_named(tmp_path: Path) -> None:
    made = build(tmp_path, "tool")
    made.write_bytes(made.read_bytes()[:-100])
    with pytest.raises(ImageError, match=r"cannot unpack .*tool_1\.0[\s\S]*downloaded again"):
        hosttools.unpack([deb(made)], tmp_path / "unpacked")


def test_what_is_unpacked_is_known_without_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BRANCHPOINT_CACHE", str(tmp_path))
    assert hosttools.known(erofs.PACKAGES) is None
    for name, time in ((f"erofs-{1:016x}", 2), (f"erofs-{2:016x}", 1), (f"erofs-x-{3:016x}", 3)):
        (tmp_path / "tools" / name).mkdir(parents=True)
        os.utime(tmp_path / "tools" / name, (time, time))
    assert hosttools.known(erofs.PACKAGES) == hosttools.Tools(tmp_path / f"tools/erofs-{1:016x}")


def test_without_dpkg_the_error_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SetupError, match=r"dpkg-deb is not installed[\s\S]*install dpkg"):
        hosttools.unpack([deb(tmp_path / "x.deb")], tmp_path / "unpacked")


def test_programs_of_the_guests_release_run_here() -> None:
    tools = hosttools.unpacked(erofs.PACKAGES)
    assert hosttools.known(erofs.PACKAGES) is not None
    done = subprocess.run(
        [*tools.command("usr/bin/mkfs.erofs"), "--version"], capture_output=True, text=True
    )
    assert done.returncode == 0 and "mkfs.erofs" in done.stdout + done.stderr
