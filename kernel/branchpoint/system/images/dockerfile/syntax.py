"""The text of a Dockerfile -> its instructions.

Directives (``# escape=``), comments, continued lines, flags and here-documents are resolved as
docker resolves them. There is no library for that which knows here-documents, so this is our own.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from branchpoint.errors import ImageError, near

MAX_BYTES = 1 << 20  # of one Dockerfile
MAX_INSTRUCTIONS = 10_000
KEYWORDS = (
    "ADD", "ARG", "CMD", "COPY", "ENTRYPOINT", "ENV", "EXPOSE", "FROM", "HEALTHCHECK", "LABEL",
    "MAINTAINER", "ONBUILD", "RUN", "SHELL", "STOPSIGNAL", "USER", "VOLUME", "WORKDIR",
)  # fmt: skip
FLAGS = {
    "ADD": ("chmod", "chown", "exclude", "link"),
    "COPY": ("chmod", "chown", "exclude", "from", "link", "parents"),
    "FROM": ("platform",),
    "HEALTHCHECK": ("interval", "retries", "start-interval", "start-period", "timeout"),
    "RUN": ("mount", "network", "security"),
}
"""The flags that each instruction can have here."""

_HEREDOCS = ("ADD", "COPY", "RUN")
_DIRECTIVE = re.compile(r"#\s*([a-zA-Z][a-zA-Z0-9]*)\s*=\s*(.+?)\s*")
_DIRECTIVES = ("check", "escape", "syntax")
_SYNTAX = re.compile(r"(docker\.io/)?docker/dockerfile(-upstream)?([:@].*)?")
_INSTRUCTION = re.compile(r"(\S+)(?:\s+(.*))?", re.DOTALL)
_FLAG = re.compile(r"--([a-zA-Z][a-zA-Z-]*)(?:=(\S*))?(?:\s+|$)")
_HEREDOC = re.compile(r"\d*<<(-?)([\"']?)([A-Za-z_][A-Za-z0-9_.]*)\2")


@dataclass(frozen=True)
class Heredoc:
    """Text between a line with ``<<NAME`` and the line NAME; ``expand``: variables count in it."""

    name: str
    content: str
    expand: bool


@dataclass(frozen=True)
class Instruction:
    """One instruction: ``text`` is what follows its keyword and flags, in one line."""

    file: str
    line: int
    keyword: str
    text: str
    flags: tuple[tuple[str, str], ...] = ()
    heredocs: tuple[Heredoc, ...] = ()
    escape: str = "\\"

    def error(self, message: str, hint: str = "") -> ImageError:
        """An error about it, with file and line."""
        return ImageError(f"{self.file}:{self.line}: {message}", hint)

    def flag(self, name: str) -> str | None:
        """The value of a flag that may be given once; None when it is not given.

        :raises ImageError: when it is given twice, or without a value.
        """
        values = [value for flag, value in self.flags if flag == name]
        if len(values) > 1:
            raise self.error(f"--{name} is given twice")
        if values and not values[0]:
            raise self.error(f"--{name} has no value")
        return values[0] if values else None


def parse(text: str, file: str) -> list[Instruction]:
    """The instructions of a Dockerfile, in their order; ``file`` is its name in errors.

    :raises ImageError: with file and line, for what is no Dockerfile.
    """
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise ImageError(f"{file}:{line}: a Dockerfile cannot contain NUL")
    return _Parser(text, file).parse()


class _Parser:
    def __init__(self, text: str, file: str) -> None:
        self.lines = [line.removesuffix("\r") for line in text.removeprefix("\ufeff").split("\n")]
        self.file = file
        self.at = 0
        self.escape = "\\"

    def parse(self) -> list[Instruction]:
        self._directives()
        found = []
        while self.at < len(self.lines):
            number = self.at + 1
            line = self._joined()
            if line:
                found.append(self._instruction(line, number))
            if len(found) > MAX_INSTRUCTIONS:
                raise self._error(number, f"there are more than {MAX_INSTRUCTIONS} instructions")
        if not found:
            raise ImageError(f"{self.file} has no instructions", 'it must begin with "FROM"')
        return found

    def _error(self, number: int, message: str, hint: str = "") -> ImageError:
        return ImageError(f"{self.file}:{number}: {message}", hint)

    def _directives(self) -> None:
        """Read the directives, which stand before everything else."""
        seen: set[str] = set()
        for number, line in enumerate(self.lines, start=1):
            match = _DIRECTIVE.fullmatch(line.strip())
            name = match[1].lower() if match else ""
            if match is None or name not in _DIRECTIVES:
                return
            if name in seen:
                raise self._error(number, f'the directive "{name}" is given twice')
            seen.add(name)
            if name == "escape":
                if match[2] not in ("\\", "`"):
                    raise self._error(number, f'"escape" must be \\ or `, not "{match[2]:.40}"')
                self.escape = match[2]
            elif name == "syntax" and not _SYNTAX.fullmatch(match[2]):
                raise self._error(
                    number,
                    f'the syntax "{match[2]:.100}" is not supported',
                    "it is a program of its own; only docker/dockerfile is known here",
                )

    def _joined(self) -> str:
        """The next line, with those that continue it; "" for a comment or an empty one."""
        line = self.lines[self.at].lstrip()
        self.at += 1
        if line.startswith("#"):
            return ""
        text, ended = self._without_escape(line)
        while not ended and self.at < len(self.lines):
            line = self.lines[self.at]
            self.at += 1
            if line.strip() and not line.lstrip().startswith("#"):  # the others do not count
                more, ended = self._without_escape(line)
                text += more
        return text.strip()

    def _without_escape(self, line: str) -> tuple[str, bool]:
        """The line without the escape character that continues it, and whether it ends here."""
        stripped = line.rstrip(" \t")
        rest = stripped.removesuffix(self.escape)
        if rest == stripped or rest.endswith(self.escape):
            return line, True
        return rest, False

    def _instruction(self, line: str, number: int) -> Instruction:
        match = _INSTRUCTION.fullmatch(line)
        assert match is not None  # the line has a character that is no space
        keyword, text = match[1].upper(), (match[2] or "").strip()
        if keyword not in KEYWORDS:
            raise self._error(
                number, f'"{match[1]:.40}" is no instruction', near(keyword, KEYWORDS)
            )
        flags: list[tuple[str, str]] = []
        while flag := _FLAG.match(text):
            name = flag[1]
            known = FLAGS.get(keyword, ())
            if name not in known:
                hint = near(name, known) if known else f"{keyword} has no flags"
                raise self._error(number, f"the flag --{name} of {keyword} is not supported", hint)
            flags.append((name, flag[2] or ""))
            text = text[flag.end() :]
        if not text:
            raise self._error(number, f"{keyword} needs an argument")
        heredocs = self._heredocs(text, number) if keyword in _HEREDOCS else ()
        return Instruction(self.file, number, keyword, text, tuple(flags), heredocs, self.escape)

    def _heredocs(self, text: str, number: int) -> tuple[Heredoc, ...]:
        """The here-documents that the line announces, read from the lines after it."""
        found = []
        for word in words(text, self.escape):
            match = _HEREDOC.fullmatch(word)
            if match is None:
                continue
            begin = self.at
            strip = bool(match[1])
            content: list[str] = []
            while True:
                if self.at >= len(self.lines):
                    hint = f'end it by a line "{match[3]}"'
                    raise self._error(number, f"<<{match[3]} is never ended", hint)
                line = self.lines[self.at].lstrip("\t") if strip else self.lines[self.at]
                self.at += 1
                if line == match[3]:
                    break
                content.append(line + "\n")
            assert self.at > begin
            found.append(Heredoc(match[3], "".join(content), not match[2]))
        return tuple(found)


def words(text: str, escape: str) -> list[str]:
    """``text`` split at spaces that are neither quoted nor escaped; quotes and escapes stay."""
    found: list[str] = []
    word = quote = ""
    at = 0
    while at < len(text):
        character = text[at]
        if character == escape and quote != "'" and at + 1 < len(text):
            word += text[at : at + 2]
            at += 2
            continue
        if not quote and character.isspace():
            if word:
                found.append(word)
            word = ""
        else:
            word += character
            if character == quote:
                quote = ""
            elif not quote and character in "\"'":
                quote = character
        at += 1
    return [*found, word] if word else found
