"""Variables in compose files (``${NAME:-default}`` and similar forms), and the .env format.

A ``$`` that no name and no brace follows is plain text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from branchpoint.errors import ComposeError

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_.\-\[\]]*")
_ESCAPE = re.compile(r'\\(?:([abfnrtv"$\\])|0(\d{0,3}))')
_OCTAL = re.compile(r"[0-3][0-7]{2}")
_ESCAPES = dict(zip('abfnrtv"\\', '\a\b\f\n\r\t\v"\\', strict=True))
_OPERATORS = (":-", ":?", ":+", "-", "?", "+")
_MAX_NESTING = 16
MAX_ENV_BYTES = 1 << 20


class Interpolator:
    """Replaces variables in text; remembers which ones had no value (``unset``: name -> line)."""

    def __init__(
        self, variables: Mapping[str, str], error: Callable[[int, str, str], ComposeError]
    ) -> None:
        self.variables = variables
        self.error = error  # makes an error of line, message and hint
        self.unset: dict[str, int] = {}

    def __call__(self, text: str, line: int) -> str:
        if "$" not in text:
            return text
        return self._expand(text, line, 0)

    def _error(self, line: int, message: str, hint: str = "") -> ComposeError:
        return self.error(line, message, hint)

    def _expand(self, text: str, line: int, depth: int) -> str:
        if depth > _MAX_NESTING:
            raise self._error(line, "defaults of variables are nested too deeply")
        # each brace counts, as in ${A:-{}}; where that closes nothing, only those of variables do
        ends = _closing_braces(text, r"\$\{|\}") | _closing_braces(text, r"\{|\}")
        out: list[str] = []
        at = 0
        while (dollar := text.find("$", at)) >= 0:
            out.append(text[at:dollar])
            after = text[dollar + 1 : dollar + 2]
            if after == "$":
                out.append("$")
                at = dollar + 2
            elif after == "{":
                end = ends.get(dollar + 2)
                if end is None:
                    hint = 'add "}", or write $$ for a plain $'
                    raise self._error(line, '"${" is never closed', hint)
                out.append(self._braced(text[dollar + 2 : end], line, depth))
                at = end + 1
            elif match := _NAME.match(text, dollar + 1):
                out.append(self._value(match.group(), line))
                at = match.end()
            else:  # as in "$(date)", "{print $1}" and "ready$"
                out.append("$")
                at = dollar + 1
        out.append(text[at:])
        return "".join(out)

    def _braced(self, inner: str, line: int, depth: int) -> str:
        match = _NAME.match(inner)
        if match is None:
            raise self._error(line, f'"${{{inner}}}" is not a variable', "write $$ for a plain $")
        name, rest = match.group(), inner[match.end() :]
        if not rest:
            return self._value(name, line)
        operator = next((op for op in _OPERATORS if rest.startswith(op)), None)
        if operator is None:
            raise self._error(
                line, f'"${{{inner}}}" is not a variable', "write ${NAME}, ${NAME:-default}, ..."
            )
        word = rest[len(operator) :]
        value = self.variables.get(name)
        has_value = value != "" if operator[0] == ":" and value is not None else value is not None
        if operator[-1] == "+":
            return self._expand(word, line, depth + 1) if has_value else ""
        if has_value:
            return value or ""
        if operator[-1] == "-":
            return self._expand(word, line, depth + 1)
        reason = self._expand(word, line, depth + 1) or "it has no value"
        raise self._error(
            line, f"the variable {name} is required: {reason}", f"set {name} in .env or the shell"
        )

    def _value(self, name: str, line: int) -> str:
        if name not in self.variables:
            self.unset.setdefault(name, line)
        return self.variables.get(name, "")


def _closing_braces(text: str, braces: str) -> dict[int, int]:
    """Where what begins after an opening brace ends."""
    begun: list[int] = []
    found: dict[int, int] = {}
    for match in re.finditer(braces, text):
        if match[0] != "}":
            begun.append(match.end())
        elif begun:
            found[begun.pop()] = match.start()
    return found


def read_env_file(
    file: Path, outer: Mapping[str, str], raw: bool = False, *, earlier: Mapping[str, str]
) -> dict[str, str]:
    """``KEY=VALUE`` lines with comments, quotes and variables; a KEY alone gets its value from
    ``outer``, or is left out.

    Values may use the variables in ``outer``, or else earlier ones of the file, or of files before
    it (``earlier``); with ``raw``, values are taken literally.

    :raises ComposeError: with file and line for what cannot be read.
    """
    try:
        with file.open("rb") as stream:
            data = stream.read(MAX_ENV_BYTES + 1)
        text = data.decode("utf-8-sig")
    except OSError as error:
        raise ComposeError(f"cannot be read: {error.strerror}", file) from None
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ComposeError("is not UTF-8 text", file, line) from None
    if len(data) > MAX_ENV_BYTES:
        raise ComposeError(f"is larger than {MAX_ENV_BYTES >> 10} KiB", file)
    return _EnvParser(text, file, outer, raw, earlier).parse()


class _EnvParser:
    def __init__(
        self,
        text: str,
        file: Path,
        outer: Mapping[str, str],
        raw: bool,
        earlier: Mapping[str, str],
    ) -> None:
        self.lines = text.split("\n")
        self.file = file
        self.outer = outer
        self.raw = raw
        self.earlier = earlier
        self.values: dict[str, str] = {}

    def parse(self) -> dict[str, str]:
        at = 0
        while at < len(self.lines):
            number = at + 1
            content = self.lines[at].strip() if self.raw else self.lines[at].lstrip()
            at += 1
            if not content or content.startswith("#"):
                continue
            if not self.raw and re.match(r"export\s", content):
                content = content[len("export") :].lstrip()
            match = _KEY.match(content)
            rest = content[match.end() :].lstrip() if match else ""
            if match is None or (rest and rest[0] not in "=:#"):
                raise ComposeError(
                    f'"{content[:40]}" is not of the form KEY=VALUE', self.file, number
                )
            if not rest or rest[0] == "#":
                if match.group() in self.outer:
                    self.values[match.group()] = self.outer[match.group()]
                continue
            value = rest[1:].lstrip()
            if not self.raw:
                value, at = self._value(value, number, at)
            self.values[match.group()] = value
        return self.values

    def _value(self, value: str, number: int, at: int) -> tuple[str, int]:
        """The value that starts on line ``number``, and the index of the first line after it."""
        if not value or value[0] not in "\"'":
            plain = value.partition(" #")[0].rstrip()  # "#" alone begins no comment: COLOR=#fff
            return self._interpolate(plain, number), at
        quote, body = value[0], value[1:]
        while (end := _closing_quote(body, quote)) < 0:
            if at >= len(self.lines):
                raise ComposeError(f"the quote {quote} is never closed", self.file, number)
            body += "\n" + self.lines[at]
            at += 1
        tail = body[end + 1 :].strip()
        if tail and not tail.startswith("#"):
            raise ComposeError(f'"{tail[:20]}" follows the closing quote', self.file, number)
        inner = re.sub(r"\\(.)", lambda m: quote if m[1] == quote else m[0], body[:end], flags=re.S)
        if quote == '"':
            inner = self._interpolate(_unescape(inner), number)
        if "\0" in inner:
            raise ComposeError("a value must not contain NUL", self.file, number)
        return inner, at

    def _interpolate(self, text: str, line: int) -> str:
        known = {**self.earlier, **self.values, **self.outer}
        return Interpolator(known, self._error)(text, line)

    def _error(self, line: int, message: str, hint: str) -> ComposeError:
        return ComposeError(message, self.file, line, hint)


def _closing_quote(text: str, quote: str) -> int:
    at = 0
    while at < len(text):
        if text[at] == "\\":
            at += 1
        elif text[at] == quote:
            return at
        at += 1
    return -1


def _unescape(text: str) -> str:
    """Resolve the escapes of a double-quoted value; any other backslash stays."""

    def plain(match: re.Match[str]) -> str:
        letter, octal = match.groups()
        if letter is None:  # the engine drops the 0 of what is no character
            return chr(int(octal, 8)) if _OCTAL.fullmatch(octal) else "\\" + octal
        # "$$" survives interpolation as one "$", which is what "\$" means
        return "$$" if letter == "$" else _ESCAPES[letter]

    return _ESCAPE.sub(plain, text)
