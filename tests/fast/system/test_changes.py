"""What scripts have changed in an image, as an overlay's upper layer, merged into its tree."""

from __future__ import annotations

import io
import stat
import tarfile
from pathlib import Path

import pytest
from imagefiles import CAPABILITY, layer, link, member

from branchpoint.errors import ImageError
from branchpoint.guest import changes
from branchpoint.guest.tree import EPOCH, Tree
from branchpoint.system.images import configuring

XATTR = "SCHILY.xattr."
OPAQUE = {f"{XATTR}trusted.overlay.opaque": "y", f"{XATTR}trusted.overlay.origin": "\0\xfb"}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BRANCHPOINT_CACHE", str(tmp_path / "cache"))


def whiteout(name: str) -> tuple[tarfile.TarInfo, bytes]:
    return member(name, b"", type=tarfile.CHRTYPE, devmajor=0, devminor=0)


def base() -> Tree:
    tree = Tree()
    for path in ("etc/passwd", "etc/old", "var/lib/app/a", "var/lib/app/b", "usr/lib/x"):
        tree.add_file(path, path.encode(), mtime=1000)
    tree.add_symlink("lib", "usr/lib")
    return tree


def changed(*members: tuple[tarfile.TarInfo, bytes]) -> Tree:
    data = io.BytesIO(layer(member("./", mode=0o755), *members))
    configuring.check(data)
    data.seek(0)
    upper, tree = Tree(), base()
    upper.apply_tar(data, latest=EPOCH)
    changes.apply(tree, upper)
    return tree


def paths(tree: Tree) -> list[str]:
    return [path for path, node in tree.walk() if not node.is_dir]


def test_a_new_file_and_a_changed_one() -> None:
    tree = changed(
        member("./etc/", mode=0o700),
        member("./etc/new", b"new", mtime=EPOCH + 5000, uid=7, gid=8, mode=0o4711),
        member("./etc/passwd", b"changed", mtime=500),
    )
    assert paths(tree) == [
        "etc/new", "etc/old", "etc/passwd", "lib", "usr/lib/x", "var/lib/app/a", "var/lib/app/b"
    ]  # fmt: skip
    new = tree.get("etc/new")
    assert new is not None
    assert (new.mode, new.uid, new.gid) == (stat.S_IFREG | 0o4711, 7, 8)
    assert new.mtime == EPOCH  # the machine's clock is not in an image
    assert tree.read("etc/passwd") == b"changed"
    passwd, etc = tree.get("etc/passwd"), tree.get("etc")
    assert passwd is not None and etc is not None
    assert passwd.mtime == 500
    assert etc.mode == stat.S_IFDIR | 0o700


def test_whiteouts_remove_files_directories_and_links() -> None:
    tree = changed(
        member("./etc/"), whiteout("./etc/old"), member("./var/"), whiteout("./var/lib"),
        whiteout("./lib"), member("./usr/"), whiteout("./usr/never-there"),
    )  # fmt: skip
    assert paths(tree) == ["etc/passwd", "usr/lib/x"]
    assert "usr/never-there" not in tree


def test_a_directory_that_was_removed_and_made_again() -> None:
    tree = changed(
        member("./var/"), member("./var/lib/"),
        member("./var/lib/app/", pax_headers=OPAQUE, uid=3), member("./var/lib/app/c", b"c"),
    )  # fmt: skip
    assert [path for path in paths(tree) if path.startswith("var")] == ["var/lib/app/c"]
    app = tree.get("var/lib/app")
    assert app is not None
    assert (app.uid, app.xattrs) == (3, {})


def test_a_link_becomes_a_directory_and_a_directory_a_link() -> None:
    tree = changed(
        member("./lib/", pax_headers=OPAQUE), member("./lib/y", b"y"),
        member("./var/"), link("./var/lib", "/usr/lib"),
    )  # fmt: skip
    assert paths(tree) == ["etc/old", "etc/passwd", "lib/y", "usr/lib/x", "var/lib"]
    assert tree.real_path("var/lib/x") == "usr/lib/x"


def test_hard_links_capabilities_and_other_attributes_are_kept() -> None:
    value = CAPABILITY.decode("utf-8", "surrogateescape")
    marks = {f"{XATTR}security.capability": value, f"{XATTR}trusted.overlay.origin": "\0"}
    tree = changed(
        member("./usr/"),
        member("./usr/ping", b"ping", pax_headers=marks),
        link("./usr/ping4", "./usr/ping", hard=True),
        member("./pipe", b"", type=tarfile.FIFOTYPE),
    )
    ping, pipe = tree.get("usr/ping"), tree.get("pipe")
    assert ping is not None and pipe is not None
    assert ping is tree.get("usr/ping4")
    assert ping.xattrs == {"security.capability": CAPABILITY}
    assert stat.S_ISFIFO(pipe.mode)


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ([link("./l", "/etc"), member("./l/passwd", b"x")], "in no directory"),
        ([member("./nowhere/x", b"x")], "in no directory"),
        ([member("./etc/"), member("./etc/../../x", b"x")], "the name"),
        ([member("./etc/"), link("./etc", "/"), member("./etc/x", b"x")], "twice"),
        ([member("./d/"), link("./h", "./d", hard=True)], "which is a directory"),
        ([link("./h", "./nothing", hard=True)], "does not exist"),
        ([member("./a/" * 300 + "x", b"x")], "a name of"),
    ],
)
def test_what_no_overlay_holds_is_refused(
    members: list[tuple[tarfile.TarInfo, bytes]], message: str
) -> None:
    with pytest.raises(ImageError, match=message):
        changed(*members)
