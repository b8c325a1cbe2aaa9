"""What the tests of quality check: this tree's files, modules and syntax trees."""

from __future__ import annotations

import ast
import functools
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "kernel" / "branchpoint"


@functools.cache
def tracked_files() -> list[Path]:
    """The files that git knows; the test is skipped when this tree is not a git checkout."""
    if not (ROOT / ".git").exists():
        pytest.skip("this tree is no git checkout")
    # The checkout may belong to another user than the one who runs the tests.
    command = ["git", "-c", f"safe.directory={ROOT}", "-C", ROOT, "ls-files", "-z"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = [ROOT / name for name in listed.split("\0") if name]
    return [path for path in found if path.is_file()]


def name(path: Path) -> str:
    """A file's name as git prints it."""
    return path.relative_to(ROOT).as_posix()


@functools.cache
def modules() -> dict[str, Path]:
    """All modules of the package by their dotted name."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


@functools.cache
def syntax(path: Path) -> ast.Module:
    """A Python file's syntax tree."""
    return ast.parse(path.read_text(), path)


def imports(path: Path) -> set[str]:
    """Every module that a file imports, dotted, wherever in the file the import is."""
    found = set()
    for node in ast.walk(syntax(path)):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name(path)}:{node.lineno}: imports are absolute here"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                found.add(inner if inner in modules() else str(node.module))
    return found
