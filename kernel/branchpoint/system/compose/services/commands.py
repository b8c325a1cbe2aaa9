"""``command`` and ``entrypoint``: a list of words, or one line that is split as the engine does.

No shell reads such a line. The engine's own rules for it (those of the Go library shellwords) are
close to a shell's, but a line ends at the first ``;``, ``&``, ``|``, ``<`` or ``>`` outside quotes.
"""

from __future__ import annotations

from branchpoint.system.compose.tree import fields
from branchpoint.system.compose.tree.yamltree import Sequence, Value
from branchpoint.system.model import Note

_ENDS = ";&|<>"
_ESCAPES = {"n": "\n", "t": "\t"}
_SHOWN = 60  # characters of what is dropped


def argv(value: Value, what: str, notes: list[Note]) -> tuple[str, ...]:
    """The words of a command; what the engine drops of a line is told in a note.

    :raises ComposeError: for quotes or parentheses that the engine refuses.
    """
    if isinstance(value, Sequence):
        return tuple(fields.texts(value, what))
    line = fields.text(value, what)
    try:
        words, dropped = split(line)
    except ValueError as error:
        raise value.error(f"{what}: {error}", "check the quotes, or write sh -c '…'") from None
    if dropped:
        shown = "".join(c if c.isprintable() else "?" for c in " ".join(dropped.split()))
        shown = shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}…"
        text = f"{what} ends before \"{shown}\", as no shell reads it: write sh -c '…' to have one"
        notes.append(Note(value.line, text))
    return tuple(words)


def split(line: str) -> tuple[list[str], str]:
    """The words of a line, and the rest of it that the engine drops.

    :raises ValueError: for what the engine refuses.
    """
    words: list[str] = []
    word, begun, escaped = "", False, False
    within: set[str] = set()
    """Open quotes; ``(`` is that of ``$(…)``. A quotation mark counts within backticks, too."""
    for at, character in enumerate(line):
        if escaped:
            word += _ESCAPES.get(character, character)
            begun, escaped = True, False
        elif character == "\\" and "'" not in within:
            escaped = True
        elif character in " \t\r\n" and not within:
            if begun:
                words.append(word)
            word, begun = "", False
        elif character in _ENDS and not within:
            rest = line[at:]
            if character == ">" and "0" <= word[:1] <= "9":  # as in 2>
                word, begun, rest = "", False, word + rest
            return ([*words, word] if begun else words), rest
        elif character in "\"'" and not within & ({"(", "'", '"'} - {character}):
            within ^= {character}
            begun = True
        elif character in "()`" and not within & {"'", '"'} and _opens(character, word, within):
            within ^= {"(" if character == ")" else character}
            word += character
            begun = True
        else:
            word += character
            begun = True
    if within or escaped:
        raise ValueError("a quote is never closed" if within else "it ends with a backslash")
    return ([*words, word] if begun else words), ""


def _opens(character: str, word: str, within: set[str]) -> bool:
    """Whether the character opens or closes something, outside of quotation marks.

    :raises ValueError: for a parenthesis that does not belong to ``$(…)``.
    """
    if character == "`":
        return "(" not in within
    if "`" in within:
        return False
    if (character == ")") != ("(" in within) or (character == "(" and not word.endswith("$")):
        raise ValueError(f'"{character}" is not in quotes')
    return True
