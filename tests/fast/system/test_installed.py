"""Trees of installed packages that are kept in the cache."""

from __future__ import annotations

import io
import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from branchpoint.guest.tree import Node, Tree
from branchpoint.system.images import installed


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BRANCHPOINT_CACHE", str(tmp_path))
    return tmp_path / "installed"


def tree_of_all_kinds() -> Tree:
    tree = Tree()
    tree.add_dir("var/lib", 0o2750, 7, 8, 9)
    tree.add_file("var/lib/a", b"data", 0o4755, 1, 2, 3, {"security.capability": b"\x01\0\xff"})
    tree.add_file("empty", b"")
    tree.add_file(os.fsdecode(b"odd \xff name"), b"x" * 3_000_000)
    tree.add_symlink("link", os.fsdecode(b"to \xfe"), 5, 6, 7)
    tree.add_symlink("srv", "var/lib")
    tree.add_dir("hard")
    tree.root.children["hard"].children["link"] = tree.root.children["empty"]
    tree.root.children["zero"] = Node(stat.S_IFCHR | 0o666, device=(1, 5))
    tree.root.mode = stat.S_IFDIR | 0o1777
    return tree


def written(tree: Tree) -> bytes:
    out = io.BytesIO()
    tree.write_tar(out)
    return out.getvalue()


def never() -> Tree:
    raise AssertionError("it is made again")


def test_a_kept_tree_is_the_one_that_was_made() -> None:
    made = installed.kept("ab", tree_of_all_kinds)
    again = installed.kept("ab", never)
    assert written(made) == written(again) == written(tree_of_all_kinds())
    assert again.get("hard/link") is again.get("empty")


def test_what_is_done_with_it_stays_out_of_the_cache() -> None:
    tree = installed.kept("ab", tree_of_all_kinds)
    tree.remove("var")
    tree.add_file("empty", b"no more")
    assert written(installed.kept("ab", never)) == written(tree_of_all_kinds())


def test_those_used_last_are_kept(cache: Path) -> None:
    names = [f"{number:x}" for number in range(installed._MOST)]
    for age, name in enumerate(names):
        installed.kept(name, tree_of_all_kinds)
        os.utime(cache / name / "index", (age, age))
    oldest = installed.kept("0", never)
    os.utime(cache / "0" / "index", (0, 0))
    installed.kept("ff", tree_of_all_kinds)
    assert {path.name for path in cache.iterdir()} == {*names[1:], "ff"}
    assert written(oldest) == written(tree_of_all_kinds())  # who has one goes on with it


@pytest.mark.parametrize(
    "harm",
    [
        lambda folder: (folder / "index").unlink(),
        lambda folder: (folder / "index").write_bytes(b"\xff"),
        lambda folder: (folder / "contents").unlink(),
        lambda folder: os.truncate(folder / "contents", 100),
    ],
)
def test_a_damaged_one_is_made_again(cache: Path, harm: Callable[[Path], None]) -> None:
    installed.kept("ab", tree_of_all_kinds)
    (cache / "ab" / "index").chmod(0o600)
    harm(cache / "ab")
    assert written(installed.kept("ab", tree_of_all_kinds)) == written(tree_of_all_kinds())


def test_one_that_another_process_forgets_meanwhile_is_good(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its files were open by then."""
    installed.kept("00", tree_of_all_kinds)
    read = installed._read

    def read_and_lost(folder: Path) -> Tree | None:
        tree = read(folder)
        shutil.rmtree(folder)
        return tree

    monkeypatch.setattr(installed, "_read", read_and_lost)
    assert written(installed.kept("00", never)) == written(tree_of_all_kinds())
