"""Names and classes that others chose, in notebooks."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from branchpoint.notebook import errors
from branchpoint.notebook.triage import triage

NAMES = [
    "aria.branchpoint",
    'x"+open("pwned","w").name+".bpz',
    "x\\",
    "two\nlines.bpz",
    "\N{FIRE} $& ${x} `y` <img src=x onerror=y>.bpz",
]


@pytest.mark.parametrize("name", NAMES)
def test_the_name_of_a_recording_is_a_text_and_nothing_else(tmp_path: Path, name: str) -> None:
    """A double click runs the notebook at once."""
    cells = json.loads(triage(tmp_path / name).read_text("utf-8"))["cells"]
    code = "".join(next(cell for cell in cells if cell["cell_type"] == "code")["source"])
    call = next(
        node
        for node in ast.walk(ast.parse(code))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "").startswith("prepare")
    )
    (given,) = call.args
    assert isinstance(given, ast.Constant) and given.value == name
    (title, *_) = cells[0]["source"]
    assert title.count("\n") == 1
    assert all(f"\\{mark}" in title for mark in "<>`$&" if mark in name)


def test_a_class_that_answers_oddly_gets_no_hint() -> None:
    class Nameless:
        __module__ = None  # type: ignore[assignment]

    class Closed:
        def __dir__(self) -> Any:
            raise RuntimeError

    for thing in (Nameless(), Closed(), SimpleNamespace()):
        with pytest.raises(AttributeError) as raised:
            thing.foo  # type: ignore[union-attr]  # noqa: B018
        assert errors.hint(raised.value, None) == ""
