"""``fault`` and ``faults`` in ``x-branchpoint``: faults that happen by themselves."""

from __future__ import annotations

from collections.abc import Sequence as Sequence_
from typing import Any

from branchpoint.errors import ComposeError
from branchpoint.faults.kinds import ContainerLike
from branchpoint.faults.reading import read
from branchpoint.faults.settings import Settings, SettingsError
from branchpoint.system.compose.tree.yamltree import Mapping, Scalar, Sequence, Value


def read_faults(section: Mapping, containers: Sequence_[ContainerLike]) -> Settings:
    """The settings from both keys of the section.

    :raises ComposeError: with the line of what is unknown or out of bounds.
    """
    entries = section.entries
    again = _plain(entries["faults"]) if "faults" in entries else {}
    once = _plain(entries["fault"]) if "fault" in entries else None
    try:
        return read(again, containers, ("faults",), once)
    except SettingsError as error:
        raise _located(section, error) from None


def _plain(value: Value) -> Any:
    """The value as dicts, lists and text; None for null."""
    if isinstance(value, Mapping):
        return {key: _plain(entry) for key, entry in value.entries.items()}
    if isinstance(value, Sequence):
        return [_plain(item) for item in value.items]
    if isinstance(value, Scalar) and value.kind != "null":
        return value.text
    return None


def _located(value: Value, error: SettingsError) -> ComposeError:
    """The error, at the line to which its path leads."""
    line = value.line
    for step in error.path:
        if isinstance(value, Mapping) and step in value.entries:
            line = value.key_lines[str(step)]
            value = value.entries[str(step)]
        elif isinstance(value, Sequence) and isinstance(step, int) and step < len(value.items):
            value = value.items[step]
            line = value.line
        else:
            break
    if isinstance(value, Scalar):
        line = value.line
    return value.files.error(line, error.message, error.hint)
