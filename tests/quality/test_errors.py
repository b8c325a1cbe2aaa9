"""No error without a message."""

from __future__ import annotations

import ast
import functools
import importlib

import pytest
from tree import modules, name, syntax

from branchpoint import errors


@functools.cache
def names_of_errors() -> set[str]:
    """The names of all our error classes, wherever they are defined."""
    for module in modules():
        if not module.endswith("__main__"):
            importlib.import_module(module)
    found, waiting = set(), [errors.BranchpointError]
    while waiting:
        error = waiting.pop()
        found.add(error.__name__)
        waiting += error.__subclasses__()
    return found


def is_mute(call: ast.expr | None, known: set[str]) -> bool:
    """Whether this raises an error of ours without a message."""
    function = call.func if isinstance(call, ast.Call) else call
    if not isinstance(function, ast.Name | ast.Attribute):
        return False
    if ast.unparse(function).rpartition(".")[2] not in known:
        return False
    if not isinstance(call, ast.Call):
        return True
    named = [option.value for option in call.keywords if option.arg in (None, "message")]
    message = (call.args or named or [ast.Constant("")])[0]
    return isinstance(message, ast.Constant) and not str(message.value).strip()


@pytest.mark.parametrize("module", modules())
def test_every_error_raised_says_what_happened(module: str) -> None:
    path = modules()[module]
    known = names_of_errors()
    mute = [
        f"{name(path)}:{node.lineno}"
        for node in ast.walk(syntax(path))
        if isinstance(node, ast.Raise) and is_mute(node.exc, known)
    ]
    assert mute == []


@pytest.mark.parametrize(
    ("code", "mute"),
    [
        ("raise TimeError", True),
        ("raise bp.TimeError()", True),
        ("raise TimeError('')", True),
        ("raise TimeError('after the end')", False),
        ("raise TimeError(f'{a} is after {b}')", False),
        ("raise TimeError(message=text)", False),
        ("raise ValueError()", False),
        ("raise", False),
    ],
)
def test_the_search_tells_mute_from_speaking(code: str, mute: bool) -> None:
    (statement,) = ast.parse(code).body
    assert isinstance(statement, ast.Raise)
    assert is_mute(statement.exc, {"TimeError"}) is mute


@pytest.mark.parametrize("error", sorted(names_of_errors() & set(vars(errors))))
def test_the_hint_stands_on_a_line_of_its_own(error: str) -> None:
    where = {"file": "compose.yaml", "line": 3} if error == "ComposeError" else {}
    said = str(getattr(errors, error)("it failed", hint="do this", **where)).splitlines()
    assert said[0].endswith("it failed")
    assert said[1:] == ["  → do this"]
