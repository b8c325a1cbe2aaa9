"""Cells as they were typed: errors show the typed lines, not the Python code made from them.

A template, a magic or a shell escape runs as a call that the user did not write. The compiler here
keeps the typed lines for tracebacks, for syntax errors and for tools that show the source of a
function.
"""

from __future__ import annotations

import ast
import builtins
import difflib
import linecache
import re
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any

from ipykernel.compiler import XCachingCompiler

from branchpoint.notebook.language import syntax

_NAME = re.compile(r"\s*([A-Za-z_]\w*)\s*")
_WORD = re.compile(r"\w+")
_ENTRY = re.compile(r"""\s*(\w+|'\w+'|"\w+")\s*(?::\s*(.*\S))?\s*""")
_SHELLS_OWN = "{what} here; for the shell's own variable, write {own}"
_NAMING = (
    ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef,
    ast.ExceptHandler, ast.MatchAs, ast.MatchStar,
)  # fmt: skip
"""Nodes that give a value the name ``node.name``."""
_ARGUMENTS = {"branch", "cap", "container", "moment", "path", "timeout"}


class Compiler(XCachingCompiler):
    """IPython's compiler, but errors show the lines of the cell as they were typed."""

    def cache(self, transformed_code: str, number: int = 0, raw_code: str | None = None) -> str:
        name: str = super().cache(transformed_code, number, raw_code)
        if raw_code is not None:
            lines = as_typed(raw_code, transformed_code)
            linecache.cache[name] = len(raw_code), None, [line + "\n" for line in lines], name
        return name

    def ast_parse(self, source: str, filename: str = "<unknown>", symbol: str = "exec") -> ast.AST:
        try:
            tree: ast.AST = super().ast_parse(source, filename, symbol)
        except SyntaxError as error:
            put_right(error, source.split("\n"), [line[:-1] for line in lines_of(filename)])
            raise
        return tree


def lines_of(file: str) -> list[str]:
    """The typed lines of a cell, by the file name of its code."""
    return linecache.getlines(file)


def as_typed(raw: str, transformed: str) -> list[str]:
    """For each line of the code that runs, the typed line it was made from."""
    typed = raw.split("\n")
    while typed and not typed[0].strip():  # IPython drops them
        del typed[0]
    if typed and not typed[-1]:
        del typed[-1]
    runs = transformed.removesuffix("\n").split("\n")
    joined = syntax.continued("\n".join(typed))  # IPython makes one line of them
    whole = [line for number, line in enumerate(typed) if number not in joined]
    for lines in (typed, whole):
        if len(lines) == len(runs):
            return lines
    found: list[str] = []
    matcher = difflib.SequenceMatcher(None, typed, runs, autojunk=False)
    for _, first, last, begin, end in matcher.get_opcodes():
        between = typed[first:last] or [""]
        found += [between[min(n, len(between) - 1)] for n in range(end - begin)]
    return found


def put_right(error: SyntaxError, runs: list[str], typed: list[str]) -> None:
    """Make a syntax error show the typed line, with the mark in the right column."""
    line = error.lineno
    if line is None or not 1 <= line <= min(len(runs), len(typed)):
        return
    if error.offset is not None:
        error.offset = _column(error.offset, runs[line - 1], typed[line - 1])
    last = error.end_lineno
    if error.end_offset is not None and last is not None and 1 <= last <= len(typed):
        error.end_offset = _column(error.end_offset, runs[last - 1], typed[last - 1])
    error.text = typed[line - 1]
    if error.offset is not None and (instead := _half_a_dict(typed, line, error.offset)):
        error.msg = f"{error.msg}; {instead}"


def _column(column: int, runs: str, typed: str) -> int:
    """The column (from 1) in the typed line for a column in the line that runs."""
    if runs == typed:
        return column
    shortest = min(len(runs), len(typed))
    same = next((n for n in range(shortest) if runs[n] != typed[n]), shortest)
    if column <= same + 1:
        return column
    rest = range(shortest - same)
    behind = next((n for n in rest if runs[-1 - n] != typed[-1 - n]), len(rest))
    from_end = len(runs) + 1 - column
    return len(typed) + 1 - from_end if from_end <= behind else same + 1


def _half_a_dict(typed: list[str], line: int, column: int) -> str:
    """What to write instead of ``{ branch, container: 'x' }``; "" when the error is another one."""
    here = "\n".join([*typed[: line - 1], typed[line - 1][: column - 1]])
    rest = "\n".join([typed[line - 1][column - 1 :], *typed[line:]])
    begin = here.rfind("{")
    inside = here[begin + 1 :] + rest
    end = inside.find("}")
    if begin < 0 or end < 0 or set("()[]") & set(inside[:end]):
        return ""
    entries = [_ENTRY.fullmatch(entry) for entry in inside[:end].split(",") if entry.strip()]
    pairs = [(entry[1].strip("'\""), entry[2] or entry[1]) for entry in entries if entry]
    with_colon = {bool(entry[2]) for entry in entries if entry}
    if len(pairs) < len(entries) or len(with_colon) < 2:
        return ""
    named = ", ".join(f"{key}={value}" for key, value in pairs)
    plain = ", ".join(value for _, value in pairs)
    return f"braces hold values, or names with values, not both: write ({named}) or {{{plain}}}"


def advice(error: NameError, trace: TracebackType | None) -> str:
    """What to write instead of an unknown name that is valid in a shell or in JavaScript; else "".

    These are a shell variable in a template's ``${...}``, and the name of an argument in braces.
    """
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    name = error.name
    if trace is None or not name:
        return ""
    lines = lines_of(trace.tb_frame.f_code.co_filename)
    for code, first, last in _interpolated("".join(lines)):
        if first <= trace.tb_lineno <= last and name in _WORD.findall(code):
            return _SHELLS_OWN.format(what=f"${{{code}}} is Python", own=_own(code))
    line = lines[trace.tb_lineno - 1] if trace.tb_lineno <= len(lines) else ""
    if name in _ARGUMENTS and re.search(rf"[{{,]\s*{name}\s*:", line):
        return f"before a colon, Python takes {name} for a variable: write '{name}': …"
    return ""


def _own(code: str) -> str:
    """How ``${code}`` is written for the shell."""
    name = _NAME.fullmatch(code)
    return f"${name[1]} or \\${{{code}}}" if name else f"\\${{{code}}}"


def _interpolated(source: str) -> Iterator[tuple[str, int, int]]:
    """The code in each ``${...}`` of a cell's templates, with its first and last line."""
    for template in syntax.templates(source):
        for part in template.parts:
            if part.is_code:
                first, last = (source.count("\n", 0, at) + 1 for at in (part.start, part.stop))
                yield source[part.start : part.stop], first, last


def checking(namespace: dict[str, Any]) -> Callable[[list[str]], list[str]]:
    """The input transformer for a notebook with these variables.

    It does the same as :func:`~branchpoint.notebook.language.syntax.transform`, and refuses the
    name of a Python builtin such as ``${dir}``, which would insert the text of a Python function.
    """

    def transform(lines: list[str]) -> list[str]:
        found = syntax.transform(lines)
        if found is not lines:
            _refuse_builtins("".join(lines), "".join(found), namespace)
        return found

    return transform


def _refuse_builtins(typed: str, runs: str, namespace: dict[str, Any]) -> None:
    for code, line, _ in _interpolated(typed):
        name = _NAME.fullmatch(code)
        if name is None or name[1] in namespace or not callable(getattr(builtins, name[1], None)):
            continue
        if _assigned(name[1], runs):
            continue
        text = typed.split("\n")[line - 1]
        what = f"${{{code}}} is Python's function {name[1]}"
        raise SyntaxError(
            _SHELLS_OWN.format(what=what, own=_own(code)),
            ("<cell>", line, text.find(f"${{{code}}}") + 1, text),
        )


def _assigned(name: str, code: str) -> bool:
    """Whether the code assigns or defines the name; True when the code cannot be parsed."""
    try:
        nodes = list(ast.walk(ast.parse(code)))
    except SyntaxError:  # it has magics
        return True
    return any(
        (isinstance(node, ast.Name) and node.id == name and isinstance(node.ctx, ast.Store))
        or (isinstance(node, ast.arg) and node.arg == name)
        or (isinstance(node, ast.alias) and (node.asname or node.name.split(".")[0]) in (name, "*"))
        or (isinstance(node, ast.MatchMapping) and node.rest == name)
        or (isinstance(node, _NAMING) and node.name == name)
        for node in nodes
    )
