"""``secrets`` and ``configs``: files with content of their own that services are given."""

from __future__ import annotations

from collections.abc import Mapping as Variables
from dataclasses import dataclass, replace
from pathlib import Path

from branchpoint.system.compose.keys import GRANT
from branchpoint.system.compose.tree import fields
from branchpoint.system.compose.tree.yamltree import Mapping, Value
from branchpoint.system.model import FileEntry

KINDS = {"secrets": "secret", "configs": "config"}
_FOLDERS = {"secrets": "/run/secrets", "configs": ""}  # where a service finds them
_READABLE = 0o444
_MOST_OWNER = 1 << 31
_SOURCES = ("file", "content", "environment")


@dataclass(frozen=True)
class Grant:
    """What a service asks for: the name of a secret or config, and where and how it wants it."""

    key: str  # "secrets" or "configs"
    name: str
    entry: FileEntry  # without its content


def read_grants(value: Value, key: str) -> tuple[Grant, ...]:
    """``secrets`` or ``configs`` of a service."""
    return tuple(_grant(item, key) for item in fields.sequence(value, f'"{key}"').items)


def _grant(item: Value, key: str) -> Grant:
    if not isinstance(item, Mapping):
        name = fields.text(item, f'each of "{key}"')
        place = fields.absolute_path(item, f"{_FOLDERS[key]}/{name}", f'each of "{key}"')
        return Grant(key, name, FileEntry(place, item.line, mode=_READABLE))
    where = f'an entry of "{key}"'
    fields.check_keys(item, ["source", "target", "uid", "gid", "mode"], where)
    entries = item.entries
    if "source" not in entries:
        raise item.error(f'{where} lacks "source"')
    name = fields.text(entries["source"], '"source"')
    target = fields.text(entries["target"], '"target"') if "target" in entries else name
    if not target.startswith("/"):
        target = f"{_FOLDERS[key]}/{target}"
    mode = fields.mode(entries["mode"], '"mode"') if "mode" in entries else _READABLE
    uid, gid = (
        fields.integer(entries[key], f'"{key}"', 0, _MOST_OWNER) if key in entries else 0
        for key in ("uid", "gid")
    )
    place = fields.absolute_path(item, target, '"target"')
    return Grant(key, name, FileEntry(place, item.line, mode=mode, uid=uid, gid=gid))


class Granted:
    """The top-level ``secrets`` and ``configs`` of a file."""

    def __init__(self, root: Mapping, variables: Variables[str, str]) -> None:
        self.variables = variables
        self.root = root
        self.sections = {
            key: fields.mapping(root.entries[key], f'"{key}"')
            for key in KINDS
            if key in root.entries and not fields.is_null(root.entries[key])
        }

    def entry(self, grant: Grant) -> FileEntry:
        """The file that a service is given.

        :raises ComposeError: with file and line, when it is not defined, or not readable.
        """
        kind = KINDS[grant.key]
        section = self.sections.get(grant.key)
        if section is None or grant.name not in section.entries:
            where = Value(self.root.files, grant.entry.line)
            raise fields.missing(where, kind, grant.name, section.entries if section else ())
        what = f'the {kind} "{grant.name}"'
        body = fields.mapping(section.entries[grant.name], what)
        fields.check(body, GRANT, what)
        entries = body.entries
        if "external" in entries and fields.external(entries["external"]):
            raise body.key_error(
                "external", f"{what} is external, but the machine cannot reach anything outside",
                'write "file: ./PATH", "environment: VARIABLE" or "content: TEXT"',
            )  # fmt: skip
        given = [key for key in _SOURCES if key in entries]
        if len(given) != 1:
            raise body.error(f"{what} needs one of: {', '.join(_SOURCES)}")
        value = entries[given[0]]
        written = fields.text(value, f'"{given[0]}" of {what}')
        if given[0] == "content":
            return replace(grant.entry, text=written)
        if given[0] == "environment":
            if written not in self.variables:
                raise value.error(
                    f"{what} is the variable {written}, which has no value",
                    f"set {written} in .env or the shell",
                )
            return replace(grant.entry, text=self.variables[written])
        path = value.folder / Path(written).expanduser()
        if not path.is_file() and not path.is_dir():
            raise value.error(f"{written}, {what}, does not exist", f"looked at {path}")
        return replace(grant.entry, source=str(path.resolve()))
