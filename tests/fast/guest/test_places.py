"""Places in a system's memory module, back to files."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from branchpoint.errors import ImageError
from branchpoint.guest import erofs
from branchpoint.guest.places import Places
from branchpoint.guest.tree import Tree
from branchpoint.search.ran import FileRan, by_file

SETUP = b"""
overlay "$here/lower:/system/images/aa11" "$run/c/web.1/rw" "$run/c/web.1/rootfs"
overlay "$here/lower:/system/images/aa11" "$run/c/web.2/rw" "$run/c/web.2/rootfs"
overlay "$here/lower:/system/images/bb22" "$run/c/db.1/rw" "$run/c/db.1/rootfs"
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, bytes]]:
    """A module, and what is in its files."""
    chance, tree = random.Random(1), Tree()
    content = {
        f"images/{image}/usr/lib/{number}/file-{number}": chance.randbytes(
            chance.choice([1, 4095, 4096, 4097, 50_000])
        )
        for image in ("aa11", "bb22")
        for number in range(300)
    }
    content["branchpoint/setup.sh"] = SETUP
    for path, data in content.items():
        tree.add_file(path, data, 0o755)
    tree.add_file("images/aa11/empty", b"")
    tree.add_symlink("images/aa11/link", "empty")
    for number in range(500):  # more than a block of a directory holds
        tree.add_file(f"images/aa11/many/{'x' * (number % 90)}{number}", b"y")
    path = tmp_path_factory.mktemp("module") / "system"
    erofs.write_nvdimm(tree, path)
    return path, content


def test_every_byte_of_every_file_is_found(made: tuple[Path, dict[str, bytes]]) -> None:
    module, content = made
    places = Places(module)
    found = {extent.path: extent for extent in places.extents}
    assert len(found) == len(content) + 500
    with module.open("rb") as file:
        for path, data in content.items():
            start, end, _ = found[path]
            file.seek(start)
            assert file.read(end - start) == data, path
            for place in (start, (start + end) // 2, end - 1):
                assert places.file(place) == found[path]
    assert places.file(0) is None and places.file(1 << 40) is None


def test_code_is_counted_by_container_and_file(made: tuple[Path, dict[str, bytes]]) -> None:
    module, _ = made
    starts = {extent.path: extent.start for extent in Places(module).extents}
    web, db = (starts[f"images/{image}/usr/lib/7/file-7"] for image in ("aa11", "bb22"))
    assert by_file([web, db, web + 0, 5, starts["branchpoint/setup.sh"] + 2], module) == [
        FileRan(["web.1", "web.2"], "/usr/lib/7/file-7", 2),
        FileRan([], "/branchpoint/setup.sh", 1),
        FileRan(["db.1"], "/usr/lib/7/file-7", 1),
    ]


def test_what_is_no_module_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x"
    for content in (b"", bytes(4 << 20), b"x" * (3 << 20)):
        path.write_bytes(content)
        with pytest.raises(ImageError, match="is not a system's image"):
            Places(path)


def test_a_damaged_module_is_read_or_refused(
    made: tuple[Path, dict[str, bytes]], tmp_path: Path
) -> None:
    chance, path = random.Random(2), tmp_path / "damaged"
    with made[0].open("rb") as file:
        sound = file.read(4 << 20)
    refused = 0
    for _ in range(150):
        data = bytearray(sound)
        for _ in range(chance.randrange(1, 200)):
            at = erofs.DATA_OFFSET + chance.randrange(1024, 100_000)
            data[at] = chance.randrange(256)
        path.write_bytes(data)
        try:
            Places(path)
        except ImageError:
            refused += 1
    assert refused > 20
