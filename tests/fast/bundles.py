"""Bundles for tests: valid ones of small recordings, and ones with arbitrary content."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import recordings
import zstandard
from blake3 import blake3

from branchpoint.futures.draws import Draw, Draws, Question
from branchpoint.sharing.bundle import archive, contents
from branchpoint.sharing.bundle.opening import open_recording
from branchpoint.sharing.bundle.share import share

NOTEBOOK = {
    "cells": [
        {"cell_type": "markdown", "id": "a", "metadata": {}, "source": "# Who?"},
        {
            "cell_type": "code",
            "execution_count": 1,
            "id": "b",
            "metadata": {},
            "outputs": [{"name": "stdout", "output_type": "stream", "text": "the sequencer\n"}],
            "source": "print(who)",
        },
    ],
    "metadata": {"kernelspec": {"name": "branchpoint", "display_name": "Branchpoint"}},
    "nbformat": 4,
    "nbformat_minor": 5,
}

QUESTION = Question(failure="exit:*", failure_key="ab", horizon=5, relative=True)

Table = dict[str, Any]
Parts = dict[str, bytes]


def notebook(path: Path, **metadata: Any) -> Path:
    """A notebook with these cells, written to ``path``."""
    given = {**NOTEBOOK, "metadata": {**NOTEBOOK["metadata"], **metadata}}  # type: ignore[dict-item]
    path.write_text(json.dumps(given, indent=1, sort_keys=True) + "\n")
    return path


def bundle(folder: Path, seconds: int = 3) -> Path:
    """A thin bundle ``triage.bpz`` of a recording that has everything a recording can have."""
    source = recordings.make(folder / "made.branchpoint", seconds)
    with open_recording(source) as run:
        at = run.origin
        Draws(run.files, QUESTION).add(Draw(at=at, seed=1, verdict="passed", end=at + 5))
        return share(run, folder / "triage.bpz", notebook=notebook(folder / "who.ipynb"))


def take_apart(path: Path) -> tuple[Table, Parts]:
    """The table of contents and the unpacked parts of a bundle."""
    with path.open("rb") as file:
        reader = archive.Reader(file)
        data = reader.first(contents.NAME, contents.MAX_BYTES)
        table = json.loads(data)["bundle"]
        parts = {}
        entries = reader.entries(
            (part["name"] + ".zst" * part["packed"], part["stored"]) for part in table["parts"]
        )
        for part, (_, entry) in zip(table["parts"], entries, strict=True):
            content = entry.read()
            parts[part["name"]] = (
                zstandard.ZstdDecompressor().decompress(content, max_output_size=part["size"])
                if part["packed"] and part["size"]
                else content
            )
    return table, parts


def seal(table: Table) -> bytes:
    """``bundle.json`` with a correct digest, whatever its content is."""
    rest = b'",\n"bundle": ' + json.dumps(table, indent=1).encode() + b"}\n"
    return b'{"blake3": "' + blake3(rest).hexdigest().encode() + rest


def describe(name: str, content: bytes, **changes: Any) -> dict[str, Any]:
    """A line of the table of contents, for a part that is not compressed."""
    fit = {
        "name": name,
        "size": len(content),
        "blake3": blake3(content).hexdigest(),
        "stored": len(content),
        "packed": False,
    }
    return fit | changes


def put_together(path: Path, table: Table, stored: list[tuple[str, bytes]]) -> Path:
    """Write an archive from a table of contents and entries; they need not match."""
    with path.open("wb") as file:
        writer = archive.Writer(file)
        for name, content in [(contents.NAME, seal(table)), *stored]:
            writer.add(name, io.BytesIO(content), len(content))
        writer.finish()
    return path


def changed(
    good: Path, path: Path, change: Callable[[Table, Parts], None] = lambda table, parts: None
) -> Path:
    """A copy of a bundle after ``change``, with correct digests and sizes again."""
    table, parts = take_apart(good)
    change(table, parts)
    table["parts"] = [describe(name, parts[name]) for name in sorted(parts)]
    return put_together(path, table, [(name, parts[name]) for name in sorted(parts)])


def tree(folder: Path) -> dict[str, bytes]:
    """All files below a folder."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
