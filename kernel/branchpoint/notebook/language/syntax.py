r"""The one piece of syntax that our kernel adds to Python: `` bash`command ${expression}` ``.

A template becomes a plain call, ``bash("command %s" % ((expression),))``. Inside it,

- ``${expression}`` inserts the text of a Python expression, which may contain strings, brackets
  and other templates; the shell's own ``$VAR``, ``$(...)`` and ``$1`` stay as they are;
- ``\```, ``\$`` and ``\\`` stand for one backtick, one dollar and one backslash; every other
  backslash reaches the shell as it is;
- line ends belong to the text; later code keeps its line numbers, so errors point at the right
  line.

Backticks in Python strings, comments, magics and shell escapes are not templates. The functions
here work on text only and do not use IPython.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass, field

_CANDIDATE = re.compile(r"\bbash[ \t]*`")
_WORD = re.compile(r"\w+")
_BLANK = re.compile(r"[^\n]")
# The shell's own, in which Python would read on behind the }: ${#a} and ${f##*/}; ${x:-it's}.
_NAME = r"!?[\w@*]+(?:\[[^]\n{}`]*\])?"
_COMMENT = re.compile(rf"\$\{{(?:{_NAME})?#(?:[^{{}}\n`]|\{{[^{{}}\n`]*\}})*\}}")
_UNENDED = re.compile(rf"\$\{{{_NAME}[-:%/^,@=+?][^{{}}\n`#]*\}}")
_STRING_PREFIXES = {"r", "u", "b", "br", "rb", "f", "fr", "rf", "t", "tr", "rt"}


@dataclass
class Part:
    """A stretch of a template: shell text, or the inside of one ``${...}``."""

    is_code: bool
    start: int
    stop: int


@dataclass
class Template:
    """One template; ``start`` is its first backtick, ``stop`` the offset after its last one."""

    start: int
    stop: int = 0
    closed: bool = False
    parts: list[Part] = field(default_factory=list)


def transform(lines: list[str]) -> list[str]:
    """The input transformer: the cell's lines, with each template replaced by a call.

    Returns the same list for a cell without templates.

    :raises SyntaxError: when a template does not end, or has an invalid expression.
    """
    source = "".join(lines)
    if not templates(source):
        return lines
    return _rewrite(source, 0, len(source)).splitlines(keepends=True)


def templates(source: str) -> list[Template]:
    """All templates of a cell that are not inside another one, in order."""
    if source.lstrip().startswith("%%") or not _CANDIDATE.search(source):
        return []
    return _Scanner(source).scan()


def is_open(source: str) -> bool:
    """Whether the cell ends inside a template, so that a console should ask for more lines."""
    found = templates(source)
    return bool(found) and not found[-1].closed


def in_shell(source: str, position: int) -> bool:
    """Whether a cursor at this offset is in the shell text of a template."""
    for template in templates(source):
        inside = template.start < position
        if inside and (position < template.stop or not template.closed):
            for part in template.parts:
                if part.is_code and part.start <= position <= part.stop:
                    return in_shell(source[part.start : part.stop], position - part.start)
            return True
    return False


def mask(source: str) -> str:
    """The cell as Python of exactly the same length, for completion and help.

    Shell text becomes blanks, backticks become parentheses, and interpolated expressions stay, so
    that positions in both texts are the same.
    """
    out: list[str] = []
    position = 0
    for template in templates(source):
        out.append(source[position : template.start])
        inside = _BLANK.sub(" ", source[template.start : template.stop])
        for part in reversed(template.parts):
            if part.is_code:
                a, b = part.start - template.start, part.stop - template.start
                code = mask(source[part.start : part.stop])
                inside = f"{inside[: a - 1]}({code}{')' if inside[b:] else ''}{inside[b + 1 :]}"
        out.append("(" + inside[1:])
        if template.closed:
            out[-1] = out[-1][:-1] + ")"
        position = template.stop
    return "".join([*out, source[position:]])


def continued(source: str) -> set[int]:
    """The lines (from 0) of a cell that belong to the magic or shell escape of an earlier line."""
    scanner = _Scanner(source)
    scanner.scan()
    return scanner.continued


def _rewrite(cell: str, start: int, stop: int) -> str:
    """``cell[start:stop]`` with its templates as calls."""
    out: list[str] = []
    position = start
    for template in _Scanner(cell, start, stop).scan():
        if not template.closed:
            raise _unclosed(template, cell)
        out += [cell[position : template.start], "(", _argument(template, cell), ")"]
        position = template.stop
    return "".join([*out, cell[position:stop]])


def _argument(template: Template, cell: str) -> str:
    """The template as one string expression with as many line ends as the template has."""
    terms: list[str] = []
    text = ""
    for part in template.parts:
        if not part.is_code:
            text = _unescape(cell[part.start : part.stop])
            continue
        code = _rewrite(cell, part.start, part.stop)
        _check(code, cell, part)
        terms.append(f"{_literal(text.replace('%', '%%') + '%s')} % (({code}),)")
        text = ""
    if text or not terms:
        terms.append(_literal(text))
    return " + ".join(terms)


def _literal(text: str) -> str:
    """A Python literal for ``text`` that spans as many source lines as the text does."""
    *ended, last = text.split("\n")
    return "\n".join([*(repr(line + "\n") for line in ended), repr(last)])


def _unescape(text: str) -> str:
    return re.sub(r"\\([`$\\])", r"\1", text)


def _check(code: str, cell: str, part: Part) -> None:
    """Raise, at the right place of the cell, when ``code`` is not one Python expression."""
    if not code.strip():
        raise _error("nothing between ${ and }", cell, part.start)
    if _COMMENT.fullmatch(cell, part.start - 2, part.stop + 1):
        raise _error(f"# begins a comment ({_advice(cell, part)})", cell, part.start)
    try:
        ast.parse(f"({code}\n)", mode="eval")
    except SyntaxError as exc:
        first, last = (cell.count("\n", 0, i) + 1 for i in (part.start, part.stop))
        raise _error(
            f"{exc.msg} ({_advice(cell, part)})",
            cell,
            part.start,
            line=min(first + (exc.lineno or 1) - 1, last),
        ) from None


def _advice(cell: str, part: Part) -> str:
    shell = cell[part.start - 2 : part.stop + 1].split("\n")[0]
    return f"${{…}} takes a Python expression; for the shell's own, write \\{shell}"


def _unclosed(template: Template, cell: str) -> SyntaxError:
    last = template.parts[-1] if template.parts else None
    if last and last.is_code:
        words = "this ${ has no closing } (for the shell's own, write \\${)"
        return _error(words, cell, last.start - 2)
    return _error("this bash`…` template has no closing backtick", cell, template.start)


def _error(message: str, cell: str, offset: int, line: int | None = None) -> SyntaxError:
    first = cell.count("\n", 0, offset) + 1
    column = offset - (cell.rfind("\n", 0, offset) + 1) + 1 if line in (None, first) else None
    line = line or first
    return SyntaxError(message, ("<cell>", line, column, cell.split("\n")[line - 1]))


class _Scanner:
    """Finds the templates in ``source[start:stop]``. Knows only the lexical rules it needs."""

    def __init__(self, source: str, start: int = 0, stop: int | None = None) -> None:
        self.source = source
        self.start = start
        self.stop = len(source) if stop is None else stop
        self.found: list[Template] = []
        self.continued: set[int] = set()

    def scan(self) -> list[Template]:
        self.code(self.start, self.found, ends="")
        return self.found

    def code(self, i: int, found: list[Template] | None, ends: str) -> int:
        """Skip Python code from ``i`` to the first of the characters ``ends`` outside of brackets.

        Returns the offset of that character, or the end. Templates are added to ``found``; with
        None, backticks are not templates. With empty ``ends``, the text is statements, not an
        expression.
        """
        s, depth, previous = self.source, 0, "\n"
        while i < self.stop:
            c = s[i]
            if c in ends and not depth and not (c == "!" and s.startswith("!=", i)):
                return i
            if c == "#":
                i = self.line_end(i)
                continue
            if c in "\"'":
                i = self.string(i, "")
            elif word := _WORD.match(s, i, self.stop):
                i = word.end()
                if s[i : i + 1] in ("'", '"') and word[0].lower() in _STRING_PREFIXES:
                    i = self.string(i, word[0].lower())
                elif word[0] == "bash" and found is not None:
                    tick = i
                    while s[tick : tick + 1] in (" ", "\t"):
                        tick += 1
                    if tick < self.stop and s[tick] == "`":
                        i = self.template(tick, found)
            elif c == "\\":
                i += 2
            elif not ends and not depth and self.is_escape(i, previous):
                i = self.escape_end(i)
            else:
                depth = max(0, depth + (c in "([{") - (c in ")]}"))
                i += 1
            if c == "\n" and not depth:
                previous = "\n"
            elif not c.isspace():
                previous = c
        return self.stop

    def is_escape(self, i: int, previous: str) -> bool:
        """Whether the rest of the line is IPython's: ``%magic``, ``!command``, ``x = !command``."""
        c = self.source[i]
        if c == "!":
            return not self.source.startswith("!=", i)
        return (c == "%" and previous in "\n=") or (c == "?" and previous == "\n")

    def escape_end(self, i: int) -> int:
        """The end of a line escape; a backslash at a line's end continues it on the next line."""
        end = self.line_end(i)
        while end < self.stop and self.source[end - 1] == "\\":
            self.continued.add(self.source.count("\n", 0, end + 1))
            end = self.line_end(end + 1)
        return end

    def line_end(self, i: int) -> int:
        end = self.source.find("\n", i, self.stop)
        return self.stop if end < 0 else end

    def string(self, i: int, prefix: str) -> int:
        """The offset after the string whose quote is at ``i``."""
        quote = self.source[i]
        quote = quote * 3 if self.source.startswith(quote * 3, i) else quote
        i += len(quote)
        if "f" in prefix or "t" in prefix:
            end = self.formatted(i, quote)
            if end is not None:
                return end
        s = self.source
        while i < self.stop:
            if s[i] == "\\":
                i += 2
            elif s.startswith(quote, i):
                return i + len(quote)
            elif s[i] == "\n" and len(quote) == 1:
                return i
            else:
                i += 1
        return self.stop

    def formatted(self, i: int, quote: str, spec: bool = False) -> int | None:
        """The offset after the text of an f-string that begins at ``i``; None if a field has no
        end.

        With ``spec``, the text is a format specification, and the offset is that of its ``}``.
        """
        s = self.source
        while i < self.stop:
            c = s[i]
            if s.startswith(quote, i):
                return None if spec else i + len(quote)
            if c == "\\":
                i += 1 if s[i + 1 : i + 2] in ("{", "}") else 2
            elif c == "\n" and len(quote) == 1:
                return None if spec else i
            elif c == "{" and not spec and s.startswith("{{", i):
                i += 2
            elif c == "{":
                i = self.code(i + 1, None, ends="}:!")
                if s.startswith("!", i):
                    i = self.code(i + 1, None, ends="}:")
                if s.startswith(":", i):
                    end = self.formatted(i + 1, quote, spec=True)
                    if end is None:
                        return None
                    i = end
                if i >= self.stop:
                    return None
                i += 1
            elif c == "}" and spec:
                return i
            else:
                i += 1
        return None

    def template(self, i: int, found: list[Template]) -> int:
        """Read the template whose backtick is at ``i``; the offset after it."""
        s = self.source
        template = Template(i, self.stop)
        found.append(template)
        text = i = i + 1
        while i < self.stop:
            if s[i] == "\\":
                i += 2
            elif s[i] == "`":
                template.parts.append(Part(False, text, i))
                template.stop, template.closed = i + 1, True
                return i + 1
            elif s.startswith("${", i):
                template.parts.append(Part(False, text, i))
                # Nested templates are searched again when this part is rewritten or masked.
                own = _COMMENT.match(s, i, self.stop)
                end = own.end() - 1 if own else self.code(i + 2, [], ends="}")
                if end >= self.stop and (own := _UNENDED.match(s, i, self.stop)):
                    end = own.end() - 1
                template.parts.append(Part(True, i + 2, end))
                text = i = min(end + 1, self.stop)
            else:
                i += 1
        return self.stop
