"""YAML text as a tree with line numbers.

Every value keeps the line where it was written (:mod:`files`), for errors about it. Values stay
text until a reader in :mod:`fields` asks for a type. Anchors, aliases and merge keys (``<<``) are
resolved here; the size of the result is bounded, also when aliases multiply it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, ScalarNode, SequenceNode

from branchpoint.errors import ComposeError
from branchpoint.system.compose.tree.files import Files
from branchpoint.system.compose.tree.tabs import TabScanner

MAX_BYTES = 512 << 10  # of one file: pure-Python parsing takes seconds beyond that
MAX_VALUES = 50_000  # after aliases are followed
MAX_DEPTH = 64
_TAGS = ("!override", "!reset")
_PREFIX = "tag:yaml.org,2002:"


@dataclass(frozen=True)
class Value:
    """Base of all nodes; ``line`` is where in ``files`` it was written.

    ``tag`` says how it is merged with a value of an earlier file: instead of it ("override"), or
    so that neither counts ("reset").
    """

    files: Files
    line: int
    tag: str = field(default="", kw_only=True)

    def error(self, message: str, hint: str = "") -> ComposeError:
        return self.files.error(self.line, message, hint)

    @property
    def folder(self) -> Path:
        """Where a relative path starts that is written here."""
        return self.files.of(self.line).folder

    @property
    def shape(self) -> str:
        """What the node is, for error messages."""
        return "a value"


@dataclass(frozen=True)
class Scalar(Value):
    text: str
    kind: str  # its type in YAML: "str", "int", "float", "bool" or "null"

    @property
    def shape(self) -> str:
        words = {"int": "a number", "float": "a number", "bool": "true or false", "null": "nothing"}
        return words.get(self.kind, "text")


@dataclass(frozen=True)
class Sequence(Value):
    items: list[Value]

    @property
    def shape(self) -> str:
        return "a list"


@dataclass(frozen=True)
class Mapping(Value):
    entries: dict[str, Value]
    key_lines: dict[str, int]

    @property
    def shape(self) -> str:
        return "a mapping"

    def key_error(self, key: str, message: str, hint: str = "") -> ComposeError:
        """An error about the key itself rather than its value."""
        return self.files.error(self.key_lines[key], message, hint)


@dataclass(frozen=True)
class Document:
    """A file that is YAML, whose values are not converted yet."""

    path: Path
    lines: int
    _root: Any

    def top(self, key: str) -> tuple[str, int]:
        """The text of a key of the whole file, as it is written, and its line; ("", 0) for none."""
        pairs = self._root.value if isinstance(self._root, MappingNode) else []
        for key_node, value in pairs:
            if isinstance(value, ScalarNode) and key_node.value == key:
                return str(value.value), int(value.start_mark.line + 1)
        return "", 0

    def convert(
        self, files: Files, folder: Path, substitute: Callable[[str, int], str]
    ) -> Value | None:
        """Its values; every scalar goes through ``substitute(text, line)``. None for an empty file.

        Relative paths in it start at ``folder``.

        :raises ComposeError: for expansions too large.
        """
        before = files.add(self.path, folder, self.lines).before
        if self._root is None:
            return None
        return _Converter(files, before, substitute).convert(self._root, 0, ())


def scan(file: Path) -> Document:
    """Read ``file``.

    :raises ComposeError: for what is not YAML, and for files too large.
    """
    try:
        with file.open("rb") as stream:
            raw = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise ComposeError(
            f"cannot be read: {error.strerror}", file, hint="give the path of a compose file"
        ) from None
    if len(raw) > MAX_BYTES:
        raise ComposeError(f"is larger than {MAX_BYTES >> 10} KiB", file)
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ComposeError("is not UTF-8 text", file, line) from None
    try:
        yaml = YAML(typ="safe", pure=True)
        yaml.Scanner = TabScanner
        yaml.composer.warn_double_anchors = False  # the last one counts, as everywhere
        return Document(file, text.count("\n") + 1, yaml.compose(text))
    except MarkedYAMLError as error:
        raise _syntax_error(file, text, error) from None
    except YAMLError as error:
        raise ComposeError(f"is not YAML: {str(error).splitlines()[0]}", file) from None
    except RecursionError:
        raise ComposeError(f"is nested deeper than {MAX_DEPTH} levels", file) from None


def _syntax_error(file: Path, text: str, error: MarkedYAMLError) -> ComposeError:
    mark: Any = error.problem_mark or error.context_mark
    line = mark.line + 1 if mark is not None else None
    problem = str(error.problem or error.context or "syntax error")
    hint = ""
    if "'\\t'" in problem:
        problem, hint = "a tab is not allowed as indentation", "indent with spaces"
    elif "another document" in problem:
        hint = "write only one document: no second '---'"
    elif "mapping values are not allowed" in problem:
        hint = "check the indentation; quote text that contains ': '"
    elif "expected <block end>" in problem or "could not find expected ':'" in problem:
        problem = "this line does not fit those above it"
        hint = "check the indentation: all keys of a mapping begin in the same column"
    elif "undefined alias" in problem:
        hint = "define the anchor (&name) above its use"
    return ComposeError(problem, file, line, hint)


class _Converter:
    def __init__(self, files: Files, before: int, substitute: Callable[[str, int], str]) -> None:
        self.files = files
        self.before = before
        self.substitute = substitute
        self.values = 0

    def convert(self, node: Any, depth: int, above: tuple[int, ...]) -> Value:
        line = self._line(node)
        self.values += 1
        if self.values > MAX_VALUES:
            raise self.files.error(
                line, f"has more than {MAX_VALUES} values once aliases are followed"
            )
        if id(node) in above:
            raise self.files.error(line, "an alias contains itself")
        if depth > MAX_DEPTH:
            raise self.files.error(line, f"is nested deeper than {MAX_DEPTH} levels")
        if isinstance(node, ScalarNode):
            return self._scalar(node, line)
        above = (*above, id(node))
        if isinstance(node, SequenceNode):
            items = [self.convert(item, depth + 1, above) for item in node.value]
            return Sequence(self.files, line, items, tag=self._tag(node, line))
        assert isinstance(node, MappingNode)
        return self._mapping(node, line, depth, above)

    def _line(self, node: Any) -> int:
        return int(self.before + node.start_mark.line + 1)

    def _tag(self, node: Any, line: int) -> str:
        tag = str(node.tag)
        if tag.startswith(_PREFIX):
            return ""
        if tag not in _TAGS:
            raise self.files.error(line, f"the tag {tag} is not supported", "remove it")
        return tag[1:]

    def _scalar(self, node: Any, line: int) -> Scalar:
        tag = self._tag(node, line)
        kind = str(node.tag).removeprefix(_PREFIX)
        if kind not in ("int", "float", "bool", "null"):
            kind = "str"
        text = self.substitute(node.value, line)
        return Scalar(self.files, line, text, kind if text == node.value else "str", tag=tag)

    def _mapping(self, node: Any, line: int, depth: int, above: tuple[int, ...]) -> Mapping:
        entries: dict[str, Value] = {}
        lines: dict[str, int] = {}
        merged: list[Mapping] = []
        for key_node, value_node in node.value:
            key_line = self._line(key_node)
            if not isinstance(key_node, ScalarNode):
                raise self.files.error(key_line, "a key must be plain text")
            key = key_node.value
            value = self.convert(value_node, depth + 1, above)
            if key_node.tag == _PREFIX + "merge":
                merged += self._merge_sources(value)
            elif key in entries:
                first = lines[key] - self.before
                raise self.files.error(
                    key_line, f'"{key}" is written twice (first in line {first})'
                )
            else:
                entries[key], lines[key] = value, key_line
        for source in merged:  # the mapping's own keys win, then earlier sources
            for key, value in source.entries.items():
                if key not in entries:
                    entries[key], lines[key] = value, source.key_lines[key]
        return Mapping(self.files, line, entries, lines, tag=self._tag(node, line))

    def _merge_sources(self, value: Value) -> list[Mapping]:
        candidates = value.items if isinstance(value, Sequence) else [value]
        sources = []
        for candidate in candidates:
            if not isinstance(candidate, Mapping):
                raise candidate.error(f'"<<" can merge only mappings, not {candidate.shape}')
            sources.append(candidate)
        return sources
