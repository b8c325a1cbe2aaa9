"""Files of a system's memory module, by their paths in containers."""

from __future__ import annotations

from pathlib import Path

import pytest

from branchpoint.guest.places import Extent
from branchpoint.programs import images as module
from branchpoint.programs.images import Images

SETUP = """\
overlay "$here/lower:/system/images/app" "$run/c/web.1/rw" "$run/c/web.1/rootfs"
overlay "$here/lower:/system/images/app" "$run/c/web.2/rw" "$run/c/web.2/rootfs"
layer /run/branchpoint/b/0/rw 1048576
overlay /system/branchpoint/binds/aaaa-1000-1000 /run/branchpoint/b/0/rw /run/branchpoint/b/0/files
layer /run/branchpoint/b/10/rw 1048576
cp -p /system/branchpoint/binds/bbbb /run/branchpoint/b/10/files
"""
CONFIGURATION = """\
container web.1
mount /run/branchpoint/c/web.1/etc/hosts /etc/hosts
mount /run/branchpoint/b/0/files /srv
mount /run/branchpoint/b/10/files /etc/100%25%0Asure
mount /system/branchpoint/binds/cccc /opt/tool
container web.2
mount /run/branchpoint/b/0/files/lib /lib/shop
mount /system/branchpoint/binds/cccc /opt/tool
"""
FILES = {
    "branchpoint/setup.sh": SETUP,
    "branchpoint/system.conf": CONFIGURATION,
    "branchpoint/binds/aaaa-1000-1000/lib/a.py": "a",
    "branchpoint/binds/aaaa-1000-1000/main.py": "main",
    "branchpoint/binds/bbbb": "sure",
    "branchpoint/binds/cccc": "tool",
    "images/app/opt/tool": "hidden",
    "images/app/usr/bin/app": "app",
    "agent": "agent",
}


@pytest.fixture
def images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Images:
    """Of a module that has these files one after the other."""
    path, extents = tmp_path / "module", []
    with path.open("wb") as file:
        for name, text in FILES.items():
            start = file.tell()
            file.write(text.encode())
            extents.append(Extent(start, file.tell(), name))

    class Places:
        def __init__(self, _: Path) -> None:
            self.extents = extents

        def file(self, place: int) -> Extent | None:
            return next((each for each in extents if each.start <= place < each.end), None)

    monkeypatch.setattr(module, "Places", Places)
    return Images(path)


def test_mounted_files_are_where_containers_have_them(images: Images) -> None:
    """Also those that may be written, whose content is that with which they began."""
    both, first, second = ("web.1", "web.2"), ("web.1",), ("web.2",)
    found = {path: (file.containers, images.read(file)) for path, file in images.by_path.items()}
    assert found == {
        "/usr/bin/app": (both, b"app"),
        "/opt/tool": (both, b"tool"),
        "/srv/lib/a.py": (first, b"a"),
        "/lib/shop/a.py": (second, b"a"),
        "/srv/main.py": (first, b"main"),
        "/etc/100%\nsure": (first, b"sure"),
    }


def test_a_place_in_a_mounted_file_has_a_path_in_a_container(images: Images) -> None:
    paths = {file.extent.path: (file.path, file.containers) for file in images.files}
    assert paths["branchpoint/binds/cccc"] == ("/opt/tool", ("web.1", "web.2"))
    assert paths["agent"] == ("/agent", ())
    program = images.by_path["/opt/tool"]
    assert images.at(program.extent.start) == program
