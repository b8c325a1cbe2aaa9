"""Debian packages for tests, made by dpkg-deb; equal words, equal bytes."""

from __future__ import annotations

import hashlib
import os
import subprocess
from pathlib import Path

from branchpoint.guest.debian import Deb
from branchpoint.guest.tree import EPOCH
from branchpoint.guest.unpacking import SCRIPTS


def deb(folder: Path, name: str, files: dict[str, str], control: str = "", **parts: str) -> Deb:
    """A package made by dpkg-deb; ``parts`` are the other files of its control part."""
    root = folder / name
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    (root / "DEBIAN").mkdir(parents=True)
    head = f"Package: {name}\nVersion: 1\nArchitecture: amd64\nMaintainer: T <t@example.org>\n"
    (root / "DEBIAN" / "control").write_text(f"{head}{control}Description: a test\n")
    sums = (f"{hashlib.md5(t.encode()).hexdigest()}  {path}\n" for path, t in files.items())
    for part, text in {"md5sums": "".join(sums), **parts}.items():
        (root / "DEBIAN" / part).write_text(text)
        (root / "DEBIAN" / part).chmod(0o755 if part in SCRIPTS else 0o644)
    path = folder / f"{name}.deb"
    subprocess.run(
        ["dpkg-deb", "--root-owner-group", "-Znone", "--build", root, path],
        check=True, capture_output=True, env=os.environ | {"SOURCE_DATE_EPOCH": str(EPOCH)},
    )  # fmt: skip
    return Deb(name, "1", hashlib.sha256(path.read_bytes()).hexdigest(), path)
