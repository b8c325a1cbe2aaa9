"""Dockerfiles for tests, in projects of their own, built where no docker is."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import pytest
from imagefiles import TestImage, layer, link, member

from branchpoint.guest.tree import Tree
from branchpoint.system.compose.reading import load
from branchpoint.system.images.finding import Image, find_images

PASSWD = b"root:x:0:0::/root:/bin/sh\napp:x:1000:1001::/srv/app:/bin/sh\n"
GROUP = b"root:x:0:\napp:x:1001:\nadm:x:4:app\n"
BASE = TestImage(
    [
        layer(
            member("etc"), member("etc/passwd", PASSWD), member("etc/group", GROUP),
            member("srv", mode=0o750, uid=5), member("usr"), member("usr/lib"),
            member("usr/lib/tool", b"tool", mode=0o755, uid=7, gid=8), link("lib", "usr/lib"),
            link("usr/lib/link", "/usr/lib/tool"), member("there", b"a file"),
        )
    ],
    {"Env": ["PATH=/bin", "FROM_BASE=1"], "Cmd": ["base"], "WorkingDir": "/srv", "User": "app"},
)  # fmt: skip
PROJECT = {
    "a.txt": "A", "b.txt": "B", "c.md": "C",
    "src": {"main.c": "main", "sub": {"x": "X"}, "[odd]": "odd"},
    ".git": {"HEAD": "head"},
}  # fmt: skip


class Builder:
    """Builds a Dockerfile in a compose file of its own, with files of the project."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.project = folder / "project"
        self.project.mkdir()
        monkeypatch.setenv("BRANCHPOINT_CACHE", str(folder / "cache"))
        monkeypatch.setenv("PATH", str(folder))  # where no docker is

    def __call__(self, text: str, base: TestImage = BASE, more: str = "", **files: Any) -> Image:
        """The image; ``more`` are lines of ``build:``, ``files`` those of the project."""
        base.docker(self.project / "base.tar")
        (self.project / "Dockerfile").write_text(text)
        for name, content in files.items():
            place(self.project / name, content)
        (self.project / "compose.yaml").write_text(
            f"services:\n  a:\n    build:\n      context: .\n{more}"
            "x-branchpoint: {images: {base: ./base.tar}}\n"
        )
        return find_images(load(self.project, environ={}))["a"]


def place(path: Path, content: Any) -> None:
    """Write a file, a directory (dict) or a link (Path) of the project."""
    if isinstance(content, dict):
        path.mkdir(exist_ok=True)
        for name, inside in content.items():
            place(path / name, inside)
    elif isinstance(content, Path):
        path.symlink_to(content)
    else:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())


def files(tree: Tree) -> dict[str, bytes]:
    return {path: tree.read(path) for path, node in tree.walk() if node.is_file}


def owner(tree: Tree, path: str) -> tuple[int, int, int]:
    node = tree.get(path)
    assert node is not None
    return stat.S_IMODE(node.mode), node.uid, node.gid
