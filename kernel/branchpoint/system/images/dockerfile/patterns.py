"""Patterns of file names, as docker has them: in ``.dockerignore``, in sources of COPY, and in what
it excludes.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from branchpoint.errors import ImageError

MAX_BYTES = 1 << 20  # of one .dockerignore
MAX_PATTERNS = 10_000


def is_pattern(text: str) -> bool:
    """Whether it stands for more than itself."""
    return any(character in text for character in "*?[\\")


def compiled(pattern: str) -> re.Pattern[str] | None:
    """The pattern as a regular expression for whole paths; None when it is malformed.

    ``*`` and ``?`` match within one directory, ``**`` any number of directories.
    """
    out: list[str] = []
    at = 0
    while at < len(pattern):
        character = pattern[at]
        at += 1
        if character == "*" and pattern.startswith("*", at):
            while pattern.startswith("*", at):
                at += 1
            if pattern.startswith("/", at):
                at += 1
                out.append("(?:.*/)?")
            else:
                out.append(".*")
        elif character == "*":
            out.append("[^/]*")
        elif character == "?":
            out.append("[^/]")
        elif character == "[":
            found = _class(pattern, at)
            if found is None:
                return None
            at, text = found
            out.append(text)
        elif character == "\\":
            if at == len(pattern):
                return None
            out.append(re.escape(pattern[at]))
            at += 1
        else:
            out.append(re.escape(character))
    try:
        return re.compile("".join(out), re.DOTALL)
    except re.error:  # a range that ends before it begins
        return None


def _class(pattern: str, at: int) -> tuple[int, str] | None:
    """(where it ends, regular expression) of ``[...]``, whose content begins at ``at``."""
    negated = pattern.startswith("^", at)
    at += negated
    out: list[str] = []
    while at < len(pattern):
        character = pattern[at]
        if character == "]" and out:
            return at + 1, f"(?!/)[{'^' if negated else ''}{''.join(out)}]"
        if character == "\\":
            at += 1
            if at == len(pattern):
                return None
            out.append(re.escape(pattern[at]))
        else:
            out.append("-" if character == "-" else re.escape(character))
        at += 1
    return None


@dataclass(frozen=True)
class _Rule:
    pattern: re.Pattern[str]
    excludes: bool


class Rules:
    """What rules leave out: the last that fits decides; ``!`` before a pattern takes in again."""

    def __init__(self, rules: Iterable[_Rule]) -> None:
        self._rules = list(rules)
        self.has_exceptions = any(not rule.excludes for rule in self._rules)

    def __contains__(self, path: str) -> bool:
        """Whether ``path``, relative to where the rules apply, is left out."""
        if not path:
            return False  # the place itself
        parts = path.split("/")
        ways = ["/".join(parts[:length]) for length in range(1, len(parts) + 1)]
        left_out = False
        for rule in self._rules:
            if rule.excludes != left_out and any(map(rule.pattern.fullmatch, ways)):
                left_out = rule.excludes
        return left_out


class Ignored(Rules):
    """What a ``.dockerignore`` leaves out; without such a file, nothing."""

    def __init__(self, file: Path | None) -> None:
        self.file = file
        super().__init__([] if file is None else _read(file))


def excluded(patterns: Iterable[str]) -> Rules:
    """What the flags ``--exclude`` of a COPY leave out of its sources.

    :raises ImageError: for what is no pattern.
    """
    rules = []
    for text in patterns:
        rule = _rule(text)
        if rule is None:
            raise ImageError(f'"{text:.80}" is not a pattern of names')
        rules.append(rule)
    return Rules(rules)


def _rule(text: str) -> _Rule | None:
    """The rule of a line; None when it is malformed."""
    excludes = not text.startswith("!")
    pattern = compiled(posixpath.normpath(text.removeprefix("!").strip()).lstrip("/"))
    return None if pattern is None else _Rule(pattern, excludes)


def _read(file: Path) -> list[_Rule]:
    try:
        with file.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise ImageError(f"{file} cannot be read: {error.strerror}") from None
    lines = data.decode("utf-8-sig", "surrogateescape").splitlines()
    if len(data) > MAX_BYTES or len(lines) > MAX_PATTERNS:
        raise ImageError(f"{file} is too long")
    rules: list[_Rule] = []
    for number, line in enumerate(lines, start=1):
        text = line.strip()
        if line.startswith("#") or not text:
            continue
        name = text.removeprefix("!").strip()
        if not name:
            raise ImageError(f'{file}:{number}: "!" needs a pattern')
        if posixpath.normpath(name).lstrip("/") in ("", "."):
            continue  # the context itself
        rule = _rule(text)
        if rule is None:
            raise ImageError(f'{file}:{number}: "{name:.80}" is not a pattern')
        rules.append(rule)
    return rules
