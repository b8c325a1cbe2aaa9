"""Words of instructions: variables, quotes, ``KEY=VALUE`` pairs, lists in JSON."""

from __future__ import annotations

import re
from collections.abc import Mapping

from branchpoint.decoding import Malformed, from_json
from branchpoint.system.images.dockerfile.syntax import Instruction, words

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*|[0-9]+|[@*#?$!-]")
_DEEPEST = 16  # defaults within defaults
_LONGEST = 1 << 20  # characters that variables can stand for in one text


def expand(instruction: Instruction, text: str, variables: Mapping[str, str]) -> str:
    """``text`` with its variables replaced and its quotes and escapes resolved.

    :raises ImageError: with file and line, for forms that are wrong or not supported.
    """
    return _Expansion(instruction, text, variables).until("", 0)


def only_variables(instruction: Instruction, text: str, variables: Mapping[str, str]) -> str:
    """``text`` of a heredoc with its variables replaced and its backslashes resolved, whichever
    character the file escapes with; quotes are ordinary characters.

    :raises ImageError: as :func:`expand` does.
    """
    return _Expansion(instruction, text, variables, quotes=False).until("", 0)


def split(instruction: Instruction, text: str, variables: Mapping[str, str]) -> list[str]:
    """The words of ``text``, each expanded; words that come out empty are left out."""
    expanded = [expand(instruction, word, variables) for word in text.split()]
    return [word for word in expanded if word]


def json_words(text: str) -> list[str] | None:
    """The words of a list in JSON, docker's "exec form"; None when it is no such list."""
    if not text.startswith("["):
        return None
    try:
        found: list[str] = from_json(text.encode("utf-8", "replace"), list[str])
    except Malformed:
        return None
    return None if any("\0" in word for word in found) else found


def command(shell: tuple[str, ...], text: str) -> tuple[str, ...]:
    """The words of a command, in whichever form it is written."""
    listed = json_words(text)
    return (*shell, text) if listed is None else tuple(listed)


def pairs(instruction: Instruction, text: str, bare: bool = False) -> list[tuple[str, str | None]]:
    """``KEY=VALUE ...`` as written, not expanded, or ``KEY VALUE`` in the old form.

    With ``bare``, a KEY may stand alone, which makes its value None, and there is no old form.

    :raises ImageError: with file and line, for a word that is no such pair.
    """
    found: list[tuple[str, str | None]] = []
    parts = words(text, instruction.escape)
    if not bare and "=" not in parts[0]:
        value = text[len(parts[0]) :].strip()
        if not value:
            raise instruction.error(f"{parts[0]:.40} has no value", "write KEY=VALUE")
        return [(parts[0], value)]
    for part in parts:
        key, sign, value = part.partition("=")
        if not key or not (sign or bare):
            raise instruction.error(f'"{part:.40}" is not of the form KEY=VALUE')
        found.append((key, value if sign else None))
    return found


class _Expansion:
    """One text, read from its begin to its end."""

    def __init__(
        self,
        instruction: Instruction,
        text: str,
        variables: Mapping[str, str],
        quotes: bool = True,
    ) -> None:
        self.instruction = instruction
        self.text = text
        self.variables = variables
        self.quotes = quotes
        self.escape = instruction.escape if quotes else "\\"
        self.at = 0
        self.left = _LONGEST

    def until(self, stop: str, depth: int) -> str:
        """The text up to the character ``stop``, which is read too; "" is the end."""
        if depth > _DEEPEST:
            raise self.instruction.error("defaults of variables are nested too deeply")
        out: list[str] = []
        while self.at < len(self.text):
            character = self._next()
            if character == stop:
                return "".join(out)
            if character == "$":
                out.append(self._variable(depth))
            elif character == "'" and self.quotes:
                out.append(self._single())
            elif character == '"' and self.quotes:
                out.append(self._double(depth))
            elif character == self.escape:
                out.append(self._next())
            else:
                out.append(character)
        if stop:
            raise self.instruction.error(f'"{stop}" is missing in {self.text:.80}')
        return "".join(out)

    def _next(self) -> str:
        character = self.text[self.at : self.at + 1]
        self.at += 1
        return character

    def _single(self) -> str:
        end = self.text.find("'", self.at)
        if end < 0:
            raise self.instruction.error(f"a quote ' is never closed in {self.text:.80}")
        content = self.text[self.at : end]
        self.at = end + 1
        return content

    def _double(self, depth: int) -> str:
        out: list[str] = []
        while self.at < len(self.text):
            character = self._next()
            if character == '"':
                return "".join(out)
            if character == "$":
                out.append(self._variable(depth))
            elif character == self.instruction.escape:
                following = self.text[self.at : self.at + 1]
                if following in ('"', "$", character):  # the others keep their escape
                    character = self._next()
                out.append(character)
            else:
                out.append(character)
        raise self.instruction.error(f'a quote " is never closed in {self.text:.80}')

    def _variable(self, depth: int) -> str:
        if not self.text.startswith("{", self.at):
            match = _NAME.match(self.text, self.at)
            if match is None:
                return "$"
            self.at = match.end()
            return self._value(match[0]) or ""
        begin = self.at - 1
        match = _NAME.match(self.text, self.at + 1)
        if match is None:
            raise self._unknown(begin)
        self.at = match.end()
        name, operator = match[0], self._next()
        if operator == "}":
            return self._value(name) or ""
        if operator == ":":
            operator += self._next()
        if operator not in (":-", ":+", ":?", "-", "+", "?"):
            raise self._unknown(begin)
        word = self.until("}", depth + 1)
        value = self._value(name)
        has_value = bool(value) if operator[0] == ":" else value is not None
        if operator[-1] == "+":
            return word if has_value else ""
        if has_value:
            return value or ""
        if operator[-1] == "?":
            raise self.instruction.error(f"{name}: {word or 'it has no value'}")
        return word

    def _value(self, name: str) -> str | None:
        value = self.variables.get(name)
        self.left -= len(value or "")
        if self.left < 0:
            raise self.instruction.error(f"its variables have more than {_LONGEST} characters")
        return value

    def _unknown(self, begin: int) -> Exception:
        shown = self.text[begin : begin + 40]
        hint = "write ${NAME}, ${NAME:-default}, ${NAME:+other} or ${NAME:?error}"
        return self.instruction.error(f'"{shown}" is not a variable that is supported', hint)
