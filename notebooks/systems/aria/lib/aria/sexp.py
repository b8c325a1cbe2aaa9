"""S-expressions: lists of symbols, numbers and strings, as text and as Python lists.

Symbols are :class:`Symbol`, strings ``str``, numbers ``int``. `sexp get PATH` prints one part of
the expression on standard input; PATH names a list by its first symbol at every level.
"""

from __future__ import annotations

import sys


class Symbol(str):
    """A name, written without quotes."""

    __slots__ = ()


class SexpError(Exception):
    """Not an S-expression, or not what was looked for in one."""


def dump(value: object, indent: int = 0) -> str:
    """The text of ``value``; a list that holds lists is written over several lines."""
    if isinstance(value, list):
        if not any(isinstance(item, list) for item in value):
            return "(" + " ".join(dump(item) for item in value) + ")"
        margin = "\n" + " " * (indent + 2)
        parts = [dump(item, indent + 2) for item in value]
        return (
            "("
            + "".join(
                (margin if isinstance(item, list) else " " if number else "") + part
                for number, (item, part) in enumerate(zip(value, parts, strict=True))
            )
            + ")"
        )
    if isinstance(value, Symbol | int):
        return str(value)
    return '"' + str(value).replace("\\", "\\\\").replace('"', '\\"') + '"'


def load(text: str) -> object:
    """The one expression that ``text`` holds."""
    tokens = _tokens(text)
    value, rest = _read(tokens, 0)
    if rest != len(tokens):
        raise SexpError(f"text after the expression: {tokens[rest][1]!r}")
    return value


def find(value: object, path: str) -> list:
    """The list that ``path`` (".snapshot.metadata.sequence") names, its name included."""
    if not path.startswith("."):
        raise SexpError(f"a path begins with a dot, such as .snapshot.metadata; got {path!r}")
    found: list = [value]
    for name in path[1:].split("."):
        for item in found:
            if isinstance(item, list) and item and isinstance(item[0], Symbol) and item[0] == name:
                found = item
                break
        else:
            raise SexpError(f"nothing is called {name!r} in {path}")
    return found


def get(value: object, path: str) -> object:
    """What ``path`` leads to: 4711 where it names (sequence 4711), else the whole list."""
    found = find(value, path)
    return found[1] if len(found) == 2 else found


def main(arguments: list[str]) -> int:
    """`sexp get PATH`"""
    if len(arguments) != 2 or arguments[0] != "get":
        sys.stderr.write("usage: sexp get .name.name… < expression\n")
        return 2
    try:
        found = get(load(sys.stdin.read()), arguments[1])
    except SexpError as error:
        sys.stderr.write(f"sexp: {error}\n")
        return 1
    # A bare string is printed without quotes, for use in a shell.
    sys.stdout.write((found if isinstance(found, str) else dump(found)) + "\n")
    return 0


def _tokens(text: str) -> list[tuple[str, str]]:
    """(kind, text) with kind one of ``( ) string word``."""
    tokens: list[tuple[str, str]] = []
    at = 0
    while at < len(text):
        char = text[at]
        if char.isspace():
            at += 1
        elif char in "()":
            tokens.append((char, char))
            at += 1
        elif char == '"':
            string, at = _string(text, at + 1)
            tokens.append(("string", string))
        else:
            start = at
            while at < len(text) and not text[at].isspace() and text[at] not in '()"':
                at += 1
            tokens.append(("word", text[start:at]))
    return tokens


def _string(text: str, at: int) -> tuple[str, int]:
    """The string whose opening quote is just before ``at``, and the place after it."""
    value = ""
    while at < len(text):
        if text[at] == '"':
            return value, at + 1
        if text[at] == "\\":
            at += 1
        value += text[at : at + 1]
        at += 1
    raise SexpError("a string has no closing quote")


def _read(tokens: list[tuple[str, str]], at: int) -> tuple[object, int]:
    """The expression that starts at token ``at``, and the token after it."""
    if at == len(tokens):
        raise SexpError("the text ends in the middle of an expression")
    kind, text = tokens[at]
    if kind == "string":
        return text, at + 1
    if kind == "word":
        return (int(text) if text.lstrip("-").isdecimal() else Symbol(text)), at + 1
    if kind == ")":
        raise SexpError("a ) without its (")
    items = []
    at += 1
    while at == len(tokens) or tokens[at][0] != ")":
        item, at = _read(tokens, at)
        items.append(item)
    return items, at + 1
