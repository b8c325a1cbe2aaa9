"""Caches that have what an emulator needs, so that a test downloads and compiles nothing."""

from __future__ import annotations

from pathlib import Path

from branchpoint.cache import cache_dir
from branchpoint.machine import engine


def equip(cache: Path) -> None:
    """Put this computer's emulator into a cache that is empty yet, and not used yet."""
    root = engine.find().root
    if root is not None:
        link(root, cache / "tools" / root.name)
    link(cache_dir() / "engine", cache / "engine")


def link(target: Path, path: Path) -> None:
    """Make a symbolic link, if it is not there yet."""
    if not path.is_symlink():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(target)
