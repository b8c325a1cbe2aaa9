"""Typed readers for the values of a compose file; each raises ComposeError with file and line."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterable

from branchpoint import units
from branchpoint.errors import ComposeError
from branchpoint.system.compose.keys import Keys
from branchpoint.system.compose.tree import numbers
from branchpoint.system.compose.tree.yamltree import Mapping, Scalar, Sequence, Value
from branchpoint.system.model import Note

_MAX_DURATION = 365 * 24 * 3600 * 1_000_000_000
_TRUE = ("true", "yes", "on")
_FALSE = ("false", "no", "off")


def nearest(name: str, known: Iterable[str]) -> str:
    """``did you mean "..."?``, or "" when no known name is similar."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f'did you mean "{close[0]}"?' if close else ""


def missing(value: Value, kind: str, name: str, known: Iterable[str]) -> ComposeError:
    """The error for a reference to something that the file does not define."""
    known = list(known)
    hint = nearest(name, known)
    if not hint:
        hint = f"defined: {', '.join(sorted(known)[:8])}" if known else f"define the {kind} first"
    return value.error(f'there is no {kind} "{name}"', hint)


def is_null(value: Value) -> bool:
    """Whether it is ``key:`` without a value."""
    return isinstance(value, Scalar) and value.kind == "null"


def is_empty(value: Value) -> bool:
    """Whether it is text without a character, as of a variable that has no value."""
    return isinstance(value, Scalar) and value.kind == "str" and not value.text


def mapping(value: Value, what: str) -> Mapping:
    if not isinstance(value, Mapping):
        raise value.error(f"{what} must be a mapping, not {value.shape}")
    return value


def sequence(value: Value, what: str) -> Sequence:
    if not isinstance(value, Sequence):
        raise value.error(f"{what} must be a list, not {value.shape}")
    return value


def check_keys(owner: Mapping, known: Iterable[str], what: str) -> None:
    """Refuse keys that are neither known nor an extension (``x-...``)."""
    known = list(known)
    for key in owner.entries:
        if key not in known and not key.startswith("x-"):
            hint = nearest(key, known) or f"known here: {', '.join(sorted(known)[:12])}"
            raise owner.key_error(key, f'unknown key "{key}" in {what}', hint)


def check(owner: Mapping, keys: Keys, where: str) -> list[Note]:
    """Refuse keys that are not supported or not known; the notes about those without effect."""
    for key, hint in keys.refused.items():
        if key in owner.entries:
            raise owner.key_error(key, f'"{key}" of {where} is not supported', hint)
    check_keys(owner, keys.accepted, where)
    return [
        Note(owner.key_lines[key], f'"{key}" of {where} has no effect: {reason}')
        for key, reason in keys.noted.items()
        if key in owner.entries
    ]


def text(value: Value, what: str) -> str:
    """Text; numbers and booleans count as the text that was written."""
    if not isinstance(value, Scalar) or is_null(value):
        raise value.error(f"{what} must be text, not {value.shape}")
    if "\0" in value.text:
        raise value.error(f"{what} must not contain NUL")
    return value.text


def boolean(value: Value, what: str) -> bool:
    if isinstance(value, Scalar):
        if value.text.lower() in _TRUE:
            return True
        if value.text.lower() in _FALSE:
            return False
        raise value.error(f'{what} must be true or false, not "{value.text}"')
    raise value.error(f"{what} must be true or false, not {value.shape}")


def external(value: Value) -> bool:
    """Whether something is made elsewhere: true, or a mapping with its name (an old form)."""
    return isinstance(value, Mapping) or boolean(value, '"external"')


def check_names(section: Mapping, used: Iterable[str], kind: str) -> None:
    """Refuse two networks or volumes that are one for the engine, since both have one ``name``.

    Here each key would be one of its own.
    """
    keys: dict[str, str] = {}
    for key in section.entries:
        name = _name_outside(key, section.entries[key]) if key in used else ""
        other = keys.setdefault(name, key) if name else key
        if other != key:
            raise section.key_error(
                key,
                f'the {kind}s "{other}" and "{key}" are one: both have the name "{name}"',
                f'keep "{other}", and use it in all services',
            )


def _name_outside(key: str, value: Value) -> str:
    """What the engine calls it, where that is not made from the key and the project's name."""
    entries = value.entries if isinstance(value, Mapping) else {}
    outside = entries.get("external")
    name = entries.get("name")
    if name is None and isinstance(outside, Mapping):
        name = outside.entries.get("name")
    if name is not None:
        return text(name, '"name"')
    return key if outside is not None and external(outside) else ""


def number(value: Value, what: str, low: float, high: float) -> float:
    try:
        result = float(value.text) if isinstance(value, Scalar) else math.nan
    except ValueError:
        result = math.nan
    if math.isnan(result):
        shown = f'"{value.text}"' if isinstance(value, Scalar) and value.text else value.shape
        raise value.error(f"{what} must be a number, not {shown}")
    if not low <= result <= high:
        raise value.error(f"{what} must be between {low:g} and {high:g}")
    return result


def integer(value: Value, what: str, low: int, high: int) -> int:
    written = value.text.strip() if isinstance(value, Scalar) else ""
    if isinstance(value, Scalar) and value.kind == "int":
        written = numbers.printed(written)
    if not re.fullmatch(r"[+-]?\d{1,18}", written):
        shown = f'"{written}"' if written else value.shape
        raise value.error(f"{what} must be a whole number, not {shown}")
    result = int(written)
    if not low <= result <= high:
        raise value.error(f"{what} must be between {low} and {high}")
    return result


def duration(value: Value, what: str) -> int:
    """Nanoseconds of "1m30s", "500ms", "2 min", or of a bare number of seconds."""
    written = text(value, what).strip()
    total = units.nanoseconds(written)
    if total is None:
        raise value.error(f'{what} must be a duration, not "{written}"', units.TIME_HINT)
    if total < 0:
        raise value.error(f"{what} must not be negative")
    if total > _MAX_DURATION:
        raise value.error(f"{what} is longer than a year")
    return total


def size(value: Value, what: str) -> int:
    """Bytes of "512m", "1gb", 1048576, ..."""
    written = text(value, what).strip()
    result = units.size(written)
    if result is None:
        raise value.error(f'{what} must be a size, not "{written}"', 'write "256m" or "1g"')
    if result > 1 << 50:
        raise value.error(f"{what} is larger than 1024t")
    return result


def texts(value: Value, what: str) -> list[str]:
    """A list of text."""
    return [text(item, f"each of {what}") for item in sequence(value, what).items]


def words(value: Value, what: str) -> tuple[str, ...]:
    """One word, or a list of them; empty ones are left out.

    :raises ComposeError: also for a word with a space in it.
    """
    values = value.items if isinstance(value, Sequence) else [value]
    values = [each for each in values if not is_empty(each)]
    found = tuple(text(each, what) for each in values)
    for each, word in zip(values, found, strict=True):
        if any(character.isspace() for character in word):
            raise each.error(f'{what} must be words without spaces, not "{word}"')
    return found


def items(value: Value, what: str) -> list[tuple[str, Value]]:
    """The entries of a mapping in the order written."""
    return list(mapping(value, what).entries.items())


def pairs(value: Value, what: str, separator: str = "=") -> list[tuple[str, str | None, Value]]:
    """``{K: V}`` or ``[K=V, K]`` as (K, V or None, where); null values count as None."""
    found: list[tuple[str, str | None, Value]] = []
    if isinstance(value, Mapping):
        for key, entry in value.entries.items():
            given = None if is_null(entry) else _plain(entry, f'"{key}" in {what}')
            found.append((key, given, entry))
    elif isinstance(value, Sequence):
        for item in value.items:
            key, sign, rest = text(item, f"each of {what}").partition(separator)
            found.append((key, rest if sign else None, item))
    else:
        raise value.error(f"{what} must be a mapping or a list, not {value.shape}")
    for key, _, where in found:
        if not key or "\0" in key:
            raise where.error(f"{what} has an entry without a name")
    return found


def _plain(value: Value, what: str) -> str:
    """Text where a mapping may have numbers and booleans, too."""
    written = text(value, what)
    if isinstance(value, Scalar) and value.kind in ("int", "float"):
        return numbers.printed(written)
    if isinstance(value, Scalar) and value.kind == "bool":
        return written.lower()
    return written


def choice(value: Value, what: str, known: Iterable[str]) -> str:
    written = text(value, what)
    known = list(known)
    if written not in known:
        hint = nearest(written, known) or f"one of: {', '.join(filter(None, known))}"
        raise value.error(f'{what} cannot be "{written}"', hint)
    return written


def path(value: Value, what: str) -> str:
    """An absolute path inside a container."""
    return absolute_path(value, text(value, what), what)


def absolute_path(value: Value, written: str, what: str) -> str:
    """A path inside a container, normalised; no ``..`` may be in it."""
    if not written.startswith("/"):
        message = f'{what} must be an absolute path, not "{written}"'
        raise value.error(message, "begin it with /")
    parts = [part for part in written.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise value.error(f'{what} must not contain "..": "{written}"')
    if "\0" in written:
        raise value.error(f"{what} must not contain NUL")
    return "/" + "/".join(parts)


def mode(value: Value, what: str) -> int:
    """Permission bits written in octal (0644, "755", 0o1777)."""
    written = text(value, what)
    digits = written.lower().removeprefix("0o")
    if not re.fullmatch(r"0*[0-7]{1,4}", digits):
        raise value.error(f'{what} must be octal like "0644", not "{written}"')
    return int(digits, 8)
