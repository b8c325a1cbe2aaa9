"""``environment`` and ``env_file``: the variables that a container has."""

from __future__ import annotations

from collections.abc import Mapping as Variables
from dataclasses import replace
from pathlib import Path

from branchpoint.system.compose.tree import fields
from branchpoint.system.compose.tree.interpolation import read_env_file
from branchpoint.system.compose.tree.yamltree import Mapping, Scalar, Sequence, Value


def read_variables(
    body: Mapping, shell: Variables[str, str]
) -> tuple[dict[str, str], tuple[str, ...]]:
    """What a service's two keys say together, and the names that it does not have at all.

    A name alone has the value of ``shell``, else the container is without it, whatever files and
    image say. "environment" wins over files, and later files over earlier ones.
    """
    own: dict[str, str] = {}
    unset: dict[str, None] = {}
    value = body.entries.get("environment")
    if value is not None and not fields.is_null(value):
        for key, given, where in fields.pairs(value, '"environment"'):
            if "=" in key:
                raise where.error(f'the name of a variable must not contain "=": "{key}"')
            text = shell.get(key) if given is None else given
            own.pop(key, None)
            unset.pop(key, None)
            if text is None:
                unset[key] = None
            else:
                own[key] = text
    listed = body.entries.get("env_file")
    read: dict[str, str] = {}
    if listed is not None and not fields.is_null(listed):
        read = _read_files(listed, {**own, **shell})
    found = {key: text for key, text in {**read, **own}.items() if key not in unset}
    return found, tuple(unset)


def _read_files(value: Value, outer: Variables[str, str]) -> dict[str, str]:
    read: dict[str, str] = {}
    what = '"env_file"'
    for entry in value.items if isinstance(value, Sequence) else [value]:
        required, raw, where = True, False, entry
        if isinstance(entry, Mapping):
            fields.check_keys(entry, ["path", "required", "format"], what)
            if "path" not in entry.entries:
                raise entry.error(f'an entry of {what} lacks "path"')
            where = entry.entries["path"]
            if "required" in entry.entries:
                required = fields.boolean(entry.entries["required"], '"required"')
            if "format" in entry.entries:
                fields.choice(entry.entries["format"], '"format"', ["raw"])
                raw = True
        path = where.folder / Path(fields.text(where, what)).expanduser()
        if path.is_file():
            read |= read_env_file(path, outer, raw, earlier=read)
        elif required:
            raise where.error(f'env_file "{path.name}" does not exist', f"looked at {path}")
    return read


def resolved(root: Mapping, variables: Variables[str, str]) -> Mapping:
    """The tree of an included file, where names alone in "environment" have the file's values."""
    section = root.entries.get("services")
    if not isinstance(section, Mapping):
        return root
    services = {name: _with_values(body, variables) for name, body in section.entries.items()}
    entries = {**root.entries, "services": replace(section, entries=services)}
    return replace(root, entries=entries)


def _with_values(body: Value, variables: Variables[str, str]) -> Value:
    listed = body.entries.get("environment") if isinstance(body, Mapping) else None
    if not isinstance(body, Mapping) or listed is None:
        return body
    if isinstance(listed, Sequence):
        items = [
            replace(item, text=f"{item.text}={variables[item.text]}")
            if isinstance(item, Scalar) and item.text in variables
            else item
            for item in listed.items
        ]
        listed = replace(listed, items=items)
    elif isinstance(listed, Mapping):
        pairs = {
            key: Scalar(each.files, each.line, variables[key], "str")
            if fields.is_null(each) and key in variables
            else each
            for key, each in listed.entries.items()
        }
        listed = replace(listed, entries=pairs)
    return replace(body, entries={**body.entries, "environment": listed})
