"""What does not belong in a saved notebook: state of widgets, times of execution.

A notebook is JSON that a stranger may have written; it is never run here, and what is not
understood is kept as it is.
"""

from __future__ import annotations

import copy
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from branchpoint.decoding import Malformed, any_json
from branchpoint.errors import RecordingError

Notebook = dict[str, Any]
_LARGEST = 64 << 20  # bytes of a notebook
_SUSPECT = {
    "an address in memory": re.compile(r"\bat 0x[0-9a-f]{8,16}\b"),
    "a uuid": re.compile(r"\b[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\b"),
}


def read(path: Path) -> Notebook:
    """The notebook in a file.

    :raises RecordingError: when it is not a notebook, or has a format before 4.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(fd, "rb") as file:
            data = file.read(_LARGEST + 1)
    except OSError as problem:
        raise RecordingError(f"{path} cannot be read: {problem.strerror}") from None
    if len(data) > _LARGEST:
        raise RecordingError(f"{path} is too large for a notebook: more than {_LARGEST} bytes")
    return parse(data, str(path))


def parse(data: bytes, shown: str) -> Notebook:
    """The notebook in ``data``; ``shown`` is its name in errors."""
    try:
        found = any_json(data)
    except Malformed:
        raise RecordingError(f"{shown} is not a notebook: it is not JSON") from None
    cells = found.get("cells") if isinstance(found, dict) else None
    if not isinstance(cells, list) or not all(isinstance(cell, dict) for cell in cells):
        raise RecordingError(
            f"{shown} is not a notebook of format 4", "open it in JupyterLab and save it"
        )
    return found


def write(notebook: Notebook) -> bytes:
    """The bytes that Jupyter would save."""
    text = json.dumps(notebook, ensure_ascii=False, indent=1, sort_keys=True)
    return text.encode("utf-8", "surrogatepass") + b"\n"


def clean(notebook: Notebook) -> Notebook:
    """A copy without what differs between runs even when all outputs are the same.

    It lacks the state of widgets, whose views also have a form that needs no state, the times at
    which cells ran, and what a page remembers about its reader.
    """
    found = copy.deepcopy(notebook)
    _drop(found.get("metadata"), "widgets", "signature")
    for cell in found["cells"]:
        _drop(cell.get("metadata"), "execution", "trusted")
    return found


def _drop(record: Any, *names: str) -> None:
    if isinstance(record, dict):
        for name in names:
            record.pop(name, None)


def _outputs(cell: dict[str, Any]) -> Iterator[dict[str, Any]]:
    outputs = cell.get("outputs")
    if isinstance(outputs, list):
        yield from (output for output in outputs if isinstance(output, dict))


def suspects(notebook: Notebook) -> list[str]:
    """What in the outputs looks as if it changed from run to run, in words."""
    found = []
    for number, cell in enumerate(notebook["cells"], 1):
        text = json.dumps(list(_outputs(cell)))
        for what, pattern in _SUSPECT.items():
            match = pattern.search(text)
            if match:
                found.append(f"cell {number} shows {what}: {match[0]}")
    if write(clean(notebook)) != write(notebook):
        found.append("it contains state of widgets or times of execution")
    return found
